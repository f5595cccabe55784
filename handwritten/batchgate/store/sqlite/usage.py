"""What results used and cost, in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.daily_usage import UsageGroup, UsageQuery
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.native_records import LateAnswerCount
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.usage_records import (
    in_order,
    late_usage_row,
    usage_group_from_row,
    usage_place,
    usage_query_row,
    used_models,
)

QUERIES: Final = load_queries("batchgate.store.sqlite", "usage.sql")
SLOT: Final = {"slot": 0}
"""One slot is enough where one thread writes."""


class SqliteUsage:
    """`UsageStore` on a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def usage_groups(self, query: UsageQuery) -> Sequence[UsageGroup]:
        """Read usage in groups."""
        params = usage_query_row(query)
        return await self._file.read_long(
            lambda c: in_order(map(usage_group_from_row, c.execute(QUERIES["usage_groups"], params)))
        )

    async def drop_usage(self, before: str) -> None:
        """Delete the usage of the days before a day."""
        await self._file.write(lambda connection: connection.execute(QUERIES["drop_usage"], {"day": before}).rowcount)


def add_usage(connection: sqlite3.Connection, batch: sqlite3.Row, chunk: ResultChunk) -> None:
    """Count what the results of a chunk used and cost."""
    place = usage_place(batch, chunk) | SLOT
    connection.executemany(QUERIES["add_usage"], [place | row for row in used_models(chunk)])


def add_late_usage(connection: sqlite3.Connection, batch: sqlite3.Row, late: LateAnswerCount) -> None:
    """Count what the late answers of a job cost."""
    connection.execute(QUERIES["add_usage"], late_usage_row(batch, late) | SLOT)
