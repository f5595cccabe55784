"""Retries of batches in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.batch import Batch
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.records import batch_from_row


class PostgresRetries:
    """The part of a store that finds the retries of a batch."""

    _pool: PostgresPool

    async def retries_of(self, workspace: str, batch_id: str, *, limit: int) -> Sequence[Batch]:
        """Read the retries of a batch and theirs, the oldest first."""
        params = {"workspace": workspace, "id": batch_id, "limit": limit}
        return [batch_from_row(row) for row in await self._pool.find_all("retries_of", params)]
