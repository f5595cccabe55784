"""Writes tables, row by row, to CSV, TSV, JSONL or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Protocol

import msgspec
from msgspec import Struct

from batchgate.tables.arrow_files import arrow
from batchgate.tables.delimited import DelimitedTable
from batchgate.tables.errors import TableError
from batchgate.tables.opening import TableFormat
from batchgate.tables.table import Cells, Table, text_of

BATCH_ROWS: Final = 1000
"""Rows of Parquet that are written together."""
GROUP_ROWS: Final = 20_000
"""Rows of a row group of Parquet, which memory holds."""


class TableShape(Struct, frozen=True, kw_only=True):
    """What a written table is like."""

    columns: Sequence[str]
    numbers: Sequence[str] = ()
    """The columns that hold integers."""
    amounts: Sequence[str] = ()
    """The columns that hold amounts of money."""
    source: Table | None = None
    """The table from which the first columns come; one of the same format is written alike."""


class TableWriter(Protocol):
    """Writes one table."""

    def write(self, cells: Cells) -> None:
        """Write a row."""
        ...


def check_format(form: TableFormat) -> None:
    """Raise `TableError` if an extra is missing that a format needs."""
    if form == "parquet":
        arrow()


@contextmanager
def table_writer(file: BinaryIO, form: TableFormat, shape: TableShape) -> Iterator[TableWriter]:
    """Yield what writes a table to an open file; leaves the file open."""
    if form == "jsonl":
        yield _JsonLines(file)
        return
    if form == "parquet":
        with _parquet(file, shape) as writer:
            yield writer
        return
    source = shape.source if isinstance(shape.source, DelimitedTable) else None
    text = io.TextIOWrapper(file, encoding=source.encoding if source else "utf-8", newline="", write_through=False)
    try:
        yield _Delimited(text, "\t" if form == "tsv" else source.delimiter if source else ",", shape)
        text.flush()
    finally:
        text.detach()


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, cells: Cells) -> None:
        """Write a row as an object."""
        self._file.write(msgspec.json.encode(cells, enc_hook=str) + b"\n")


class _LineFeeds:
    """Ends the rows of a csv writer with a line feed; the writer quotes what its own line end has, also a lone CR."""

    def __init__(self, file: io.TextIOBase) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write a row."""
        return self._file.write(row.removesuffix("\r\n") + "\n")


class _Delimited:
    def __init__(self, file: io.TextIOBase, delimiter: str, shape: TableShape) -> None:
        self._shape = shape
        self._writer = csv.writer(_LineFeeds(file), delimiter=delimiter, lineterminator="\r\n")
        self._writer.writerow(shape.columns)

    def write(self, cells: Cells) -> None:
        """Write a row; what is not a text is written as JSON, null as nothing, and money without an exponent."""
        amounts = {name: _amount(value) for name in self._shape.amounts if isinstance(value := cells.get(name), float)}
        self._writer.writerow([amounts.get(name) or text_of(cells.get(name)) for name in self._shape.columns])


def _amount(dollars: float) -> str:
    return f"{dollars:.9f}".rstrip("0").rstrip(".")


class _Parquet:
    def __init__(self, writer: Any, schema: Any, texts: Sequence[str]) -> None:
        self._writer = writer
        self._schema = schema
        self._texts = texts
        self._rows: list[Mapping[str, object]] = []

    def write(self, cells: Cells) -> None:
        """Write a row, together with others."""
        texts = {name: text_of(value) for name in self._texts if (value := cells.get(name)) is not None}
        self._rows.append({**cells, **texts})
        if len(self._rows) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        self._writer.write_batch(arrow().RecordBatch.from_pylist(self._rows, self._schema), GROUP_ROWS)
        self._rows.clear()


@contextmanager
def _parquet(file: BinaryIO, shape: TableShape) -> Iterator[_Parquet]:
    known: Mapping[str, Any] = {field.name: field.type for field in getattr(shape.source, "schema", ())}
    types: dict[str, Any] = dict.fromkeys(shape.numbers, arrow().int64())
    types |= dict.fromkeys(shape.amounts, arrow().float64()) | dict(known)
    schema = arrow().schema([(name, types.get(name, arrow().string())) for name in shape.columns])
    texts = [name for name in shape.columns if name not in types]
    try:
        with arrow().parquet.ParquetWriter(file, schema) as writer:
            rows = _Parquet(writer, schema, texts)
            yield rows
            rows.flush()
    except arrow().ArrowException as error:
        raise TableError(f"a row cannot be written as Parquet: {error}; write the answers as .jsonl") from error
