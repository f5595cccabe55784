"""Lists of batches in a PostgreSQL database."""

from __future__ import annotations

from batchgate.engine.model.batch import BatchPage
from batchgate.store.list_records import list_query
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.records import batch_from_row


class PostgresBatchLists:
    """The part of a store that lists batches."""

    _pool: PostgresPool

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> BatchPage:
        """Read a page of batches, newest first; see `BatchStore.list_batches`."""
        query = list_query(workspace, older_than=older_than, newer_than=newer_than, provider=provider, limit=limit)
        return query.page([batch_from_row(row) for row in await self._pool.find_all(query.name, query.params)])
