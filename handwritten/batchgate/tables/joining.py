"""Joins answers to the rows of a table; both are in the same order, so one of each is in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from batchgate.tables.chat_requests import row_id
from batchgate.tables.errors import RowError, TableError
from batchgate.tables.result_answers import Answer
from batchgate.tables.table import Row


async def join_answers(
    rows: Iterator[Row | RowError], id_column: str | None, answers: AsyncIterator[Answer]
) -> AsyncGenerator[tuple[Row, Answer | None], None]:
    """Yield each row with its answer, None if it has none.

    Raises `TableError` for an invalid row, and for an answer that is not in its place among the rows.
    """
    answer = await anext(answers, None)
    for row in rows:
        if isinstance(row, RowError):
            raise row
        if answer is not None and answer.custom_id == row_id(row, id_column):
            yield row, answer
            answer = await anext(answers, None)
        else:
            yield row, None
    if answer is not None:
        raise TableError(f"the answers do not belong to these rows: {answer.custom_id!r} is not there, or elsewhere")
