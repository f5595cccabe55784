"""`EventStore` on a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.steering import TimelineEntry
from batchgate.store.queries import load_queries
from batchgate.store.records import batch_from_row, timeline_entry_from_row
from batchgate.store.sqlite.connection import SqliteFile

QUERIES: Final = load_queries("batchgate.store.sqlite", "events.sql")


class SqliteEvents:
    """What has happened to the batches of a workspace."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def recent_batches(self, workspace: str, *, ended_since: int, limit: int) -> Sequence[Batch]:
        """Read the unfinished batches, and those that have ended since a time."""
        params = {"workspace": workspace, "since": ended_since, "limit": limit}
        query = "unfinished_or_ended_since"
        return await self._file.read(lambda c: [batch_from_row(row) for row in c.execute(QUERIES[query], params)])

    async def recent_actions(self, workspace: str, *, since: int, limit: int) -> Sequence[tuple[str, TimelineEntry]]:
        """Read the actions on these batches since a time."""
        params = {"workspace": workspace, "since": since, "limit": limit}
        rows = await self._file.read(lambda c: c.execute(QUERIES["actions_since"], params).fetchall())
        return [(row["id"], timeline_entry_from_row(row)) for row in rows]
