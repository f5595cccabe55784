"""`EventStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.steering import TimelineEntry
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.records import batch_from_row, timeline_entry_from_row


class PostgresEvents:
    """What has happened to the batches of a workspace."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def recent_batches(self, workspace: str, *, ended_since: int, limit: int) -> Sequence[Batch]:
        """Read the unfinished batches, and those that have ended since a time."""
        params = {"workspace": workspace, "since": ended_since, "limit": limit}
        return [batch_from_row(row) for row in await self._pool.fetch_all("unfinished_or_ended_since", params)]

    async def recent_actions(self, workspace: str, *, since: int, limit: int) -> Sequence[tuple[str, TimelineEntry]]:
        """Read the actions on these batches since a time."""
        params = {"workspace": workspace, "since": since, "limit": limit}
        rows = await self._pool.fetch_all("actions_since", params)
        return [(row["id"], timeline_entry_from_row(row)) for row in rows]
