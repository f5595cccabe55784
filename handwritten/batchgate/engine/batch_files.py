"""The ids of the files that a batch is seen as: its requests, its answers, and its other results."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from batchgate.engine.batch import Batch, Part

VIEW_PREFIXES: Final[dict[Part, str]] = {"input": "file-input-", "output": "file-output-", "error": "file-error-"}
"""What the id of a file begins with that is no more than a view of a batch; the batch's id follows."""


class FileIds(Struct, frozen=True, kw_only=True):
    """The files of a batch."""

    input: str
    output: str | None
    """None while there are no results, or none that are answers."""
    error: str | None
    """The same for all other results."""


def file_ids(batch: Batch) -> FileIds:
    """Name the files of a batch: those that it has, or for a batch of Anthropic's dialect, views of it."""
    given = batch.terms.input_file or view_id(batch.id, "input")
    if batch.dialect == "openai":
        return FileIds(input=given, output=batch.output_file, error=batch.error_file)
    has_results, counts = batch.results_blob is not None, batch.counts
    return FileIds(
        input=given,
        output=view_id(batch.id, "output") if has_results and counts.succeeded else None,
        error=view_id(batch.id, "error") if has_results and counts.succeeded < counts.total else None,
    )


def view_id(batch_id: str, part: Part) -> str:
    """Write the id of the file that is a view of a part of a batch."""
    return VIEW_PREFIXES[part] + batch_id


def read_view_id(file_id: str) -> tuple[str, Part] | None:
    """Read the id of a batch, and its part, of which a file is a view; None for any other file."""
    for part, prefix in VIEW_PREFIXES.items():
        if file_id.startswith(prefix):
            return file_id.removeprefix(prefix), part
    return None
