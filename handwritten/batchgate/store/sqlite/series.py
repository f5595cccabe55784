"""How batches went over time, in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.series import PeriodTotals
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.queries import load_queries
from batchgate.store.series_records import period_from_row, series_row
from batchgate.store.sqlite.connection import SqliteFile

QUERIES: Final = load_queries("batchgate.store.sqlite", "series.sql")


class SqliteSeries:
    """The part of a store that reads the periods of batches."""

    _file: SqliteFile

    async def series_of(self, batch_key: int) -> Sequence[PeriodTotals]:
        """Read the periods of a batch."""
        params = {"batch_key": batch_key}
        rows = await self._file.read(lambda c: c.execute(QUERIES["series_of_batch"], params).fetchall())
        return [period_from_row(row) for row in rows]


def add_to_series(connection: sqlite3.Connection, batch: sqlite3.Row, chunk: ResultChunk) -> None:
    """Add the results of a chunk to their period."""
    row = series_row(batch, chunk) | {"batch_key": batch["key"], "succeeded": chunk.succeeded}
    connection.execute(QUERIES["add_to_series"], row)


def drop_series(connection: sqlite3.Connection, batch_key: int) -> None:
    """Delete the periods of a batch."""
    connection.execute(QUERIES["drop_series"], {"batch_key": batch_key})
