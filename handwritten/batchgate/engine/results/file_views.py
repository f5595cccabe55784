"""Batches seen as files: which files show them, and by which ids.

A batch whose lines are in the dialect of files has its output and its error file among the other files. Of any other
batch, and of requests that no file brought, there are views: they have ids that follow from that of the batch, and
are found by them, but they are not listed and go with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from msgspec import Struct

from batchgate.engine.model.batch import Batch, BatchPart
from batchgate.engine.model.clock import DAY, MICROSECONDS
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.ids import new_file_id

LIFETIME: Final = 30 * DAY
"""How long the files of a batch are kept after its end, if its create does not say (batch-apis 4.2)."""
RESULT_PURPOSE: Final = "batch_output"
PARTS: Final[tuple[BatchPart, ...]] = get_args(BatchPart)
_VIEW: Final = "file-{part}-{batch_id}"


class FileIds(Struct, frozen=True, kw_only=True):
    """The ids of the files that show a batch; None where there is nothing to show."""

    input: str
    output: str | None
    error: str | None


def file_ids(batch: Batch) -> FileIds:
    """Tell by which ids the files of a batch are found."""
    counts = batch.counts
    parse_view_id = batch.dialect != "openai" and batch.results_blob is not None
    unanswered = counts.errored + counts.canceled + counts.expired
    return FileIds(
        input=batch.options.input_file or view_id(batch.id, "input"),
        output=view_id(batch.id, "output") if parse_view_id and counts.succeeded else batch.output_file,
        error=view_id(batch.id, "error") if parse_view_id and unanswered else batch.error_file,
    )


def is_part_stored(batch: Batch, part: BatchPart) -> bool:
    """Tell if the body that holds a part is there."""
    return (batch.input_blob if part == "input" else batch.results_blob) is not None


def view_id(batch_id: str, part: BatchPart) -> str:
    """Make the id of a view."""
    return _VIEW.format(part=part, batch_id=batch_id)


def parse_view_id(file_id: str) -> tuple[str, BatchPart] | None:
    """Read the id of a view: the batch and the part that it shows."""
    for part in PARTS:
        prefix = view_id("", part)
        if file_id.startswith(prefix):
            return file_id.removeprefix(prefix), part
    return None


def new_result_files(batch: Batch, size: int, output_size: int, now: int) -> Sequence[NewFile]:
    """Make the files for the results of a batch that ends now, if its lines are in their dialect; none is empty."""
    sizes: dict[BatchPart, int] = {"output": output_size, "error": size - output_size}
    if batch.dialect != "openai":
        return ()
    begins = now - now % MICROSECONDS
    lifetime = batch.options.output_lifetime
    return [
        NewFile(
            id=new_file_id(),
            workspace=batch.workspace,
            provider=batch.provider,
            purpose=RESULT_PURPOSE,
            filename=download_name(batch, part),
            size=part_size,
            sha256=b"",
            created_at=now,
            expires_at=begins + (LIFETIME if lifetime is None else lifetime * MICROSECONDS),
            blob=None,
            batch_id=batch.id,
            part=part,
        )
        for part, part_size in sizes.items()
        if part_size
    ]


def download_name(batch: Batch, part: BatchPart) -> str:
    """Name a file for whoever saves it."""
    return f"{batch.id}_{part}.jsonl"
