"""The table of answers: the columns of another table, if there is one, with those of the answers behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

from msgspec import Struct

from batchgate.tables.answer_columns import AnswerColumns
from batchgate.tables.errors import RowError
from batchgate.tables.opening import TableFormat
from batchgate.tables.result_answers import Answer
from batchgate.tables.table import Cells, Row, Table
from batchgate.tables.writing import TableShape, table_writer

WriteAnswer: TypeAlias = Callable[[Cells, Answer | None], None]
"""Writes one row with its answer."""


class AnswerTable(Struct, frozen=True):
    """What is written: rows of ``source`` with the columns of answers, in a format."""

    source: Table
    columns: AnswerColumns
    form: TableFormat

    def check(self, row: Row) -> None:
        """Raise `RowError` for a row that cannot be written; a row of JSONL may have fields of its own."""
        extra = row.cells.keys() - self.source.columns
        if not extra:
            return
        taken = min(extra & set(self.columns.names), default=None)
        if taken is not None:
            raise RowError(f"{row.place}: it has a field {taken!r} already; name the new columns with --prefix TEXT")
        if self.form != "jsonl":
            raise RowError(f"{row.place}: it has the field {min(extra)!r}, and the first row has not; write .jsonl")

    @contextmanager
    def writer(self, file: BinaryIO) -> Iterator[WriteAnswer]:
        """Yield what writes the rows to an open file."""
        names = [*self.source.columns, *self.columns.names]
        shape = TableShape(
            columns=names, numbers=self.columns.numbers, amounts=self.columns.amounts, source=self.source
        )
        with table_writer(file, self.form, shape) as writer:
            yield lambda cells, answer: writer.write({**cells, **self.columns.values(answer)})
