"""Files that show a batch: which ones exist, and their ids.

An OpenAI batch has stored files: the input file of the caller, and an output and an error file. All other batches, and
inputs that did not come as a file, have views instead. The id of a view is derived from the id of the batch. A view can
be read by its id, but it is not listed, and it is deleted with the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, get_args

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import DAY, MICROSECONDS
from batchgate.engine.model.file import RESULT_PURPOSE, BatchPart, NewFile
from batchgate.engine.model.ids import new_file_id

LIFETIME: Final = 30 * DAY
"""The default time for which result files are kept after the end of the batch (batch-apis 4.2)."""
PARTS: Final[tuple[BatchPart, ...]] = get_args(BatchPart)


class BatchFileIds(Struct, frozen=True, kw_only=True):
    """The ids of the files that show a batch; None if the batch has no such lines."""

    input: str
    output: str | None
    error: str | None


def batch_file_ids(batch: Batch) -> BatchFileIds:
    """Return the ids of the files or views of a batch."""
    counts = batch.counts
    has_views = batch.dialect != "openai" and batch.results_blob is not None
    unsuccessful = counts.errored + counts.canceled + counts.expired
    return BatchFileIds(
        input=batch.options.input_file or view_id(batch.id, "input"),
        output=view_id(batch.id, "output") if has_views and counts.succeeded else batch.output_file,
        error=view_id(batch.id, "error") if has_views and unsuccessful else batch.error_file,
    )


def is_part_stored(batch: Batch, part: BatchPart) -> bool:
    """Check that the blob that contains a part still exists."""
    return (batch.input_blob if part == "input" else batch.results_blob) is not None


def view_id(batch_id: str, part: BatchPart) -> str:
    """Return the id of the view of a part."""
    return f"file-{part}-{batch_id}"


def parse_view_id(file_id: str) -> tuple[str, BatchPart] | None:
    """Return the batch id and the part that the id of a view names; None for the id of a stored file."""
    for part in PARTS:
        prefix = view_id("", part)
        if file_id.startswith(prefix):
            return file_id.removeprefix(prefix), part
    return None


def new_result_files(batch: Batch, contents: Mapping[BatchPart, tuple[int, bytes]], now: int) -> Sequence[NewFile]:
    """Return the output and error files of an OpenAI batch that ends now, unless empty; other batches have none.

    ``contents`` has the size in bytes and the SHA-256 of each part.
    """
    if batch.dialect != "openai":
        return ()
    whole_second = now - now % MICROSECONDS
    lifetime = batch.options.output_lifetime
    return [
        NewFile(
            id=new_file_id(),
            workspace=batch.workspace,
            provider=batch.provider,
            purpose=RESULT_PURPOSE,
            filename=download_name(batch, part),
            size=part_size,
            sha256=part_sha256,
            created_at=now,
            expires_at=whole_second + (LIFETIME if lifetime is None else lifetime * MICROSECONDS),
            blob=None,
            batch_id=batch.id,
            part=part,
        )
        for part, (part_size, part_sha256) in contents.items()
        if part_size
    ]


def download_name(batch: Batch, part: BatchPart) -> str:
    """Return the name under which a part is downloaded."""
    return f"{batch.id}_{part}.jsonl"
