"""Opens a table by the name of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from batchgate.tables.arrow_files import DatasetTable, ParquetTable
from batchgate.tables.delimited import DelimitedTable
from batchgate.tables.errors import TableError
from batchgate.tables.json_lines import JsonLinesTable
from batchgate.tables.table import Table

TableFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]

FORMATS: Final[Mapping[str, TableFormat]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""The format of a file by its suffix."""
_READERS: Final[Mapping[TableFormat, Callable[[Path], Table]]] = {
    "csv": DelimitedTable,
    "tsv": DelimitedTable,
    "jsonl": JsonLinesTable,
    "parquet": ParquetTable,
}


def open_table(path: Path) -> Table:
    """Open the table in a file, or in the folder of a Hugging Face dataset; raises `TableError`."""
    if path.is_dir():
        return DatasetTable(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise TableError(f"{path}: a table is a file that ends with {', '.join(FORMATS)}, or the folder of a dataset")
    table = _READERS[form](path)
    if not table.columns:
        raise TableError(f"{path}: it has no rows")
    return table


def format_of(path: Path) -> TableFormat | None:
    """Return the format in which a file with this name is written; None if the name does not say it."""
    return FORMATS.get(path.suffix.lower())
