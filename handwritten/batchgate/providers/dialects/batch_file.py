"""Opens the input file of a batch."""

from __future__ import annotations

from batchgate.engine.model.batch import BatchOptions
from batchgate.providers.dialects.input_file import InputFileReader


def file_reader(options: BatchOptions, *, keeps_valid_lines: bool = False) -> InputFileReader:
    """Return the reader for the input file of a batch."""
    return InputFileReader(
        options.kind,
        endpoint=options.endpoint,
        has_default_model=options.model is not None,
        keeps_valid_lines=keeps_valid_lines,
    )
