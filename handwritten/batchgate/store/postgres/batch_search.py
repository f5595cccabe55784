"""Searches for batches in a PostgreSQL database."""

from __future__ import annotations

from batchgate.engine.model.batch import BatchFilters, BatchSearchPage
from batchgate.store.postgres.connection import PostgresPool, is_storable
from batchgate.store.search_records import search_page, search_query, search_row


class PostgresBatchSearch:
    """The part of a store that searches for batches."""

    _pool: PostgresPool

    async def search_batches(
        self, workspace: str, filters: BatchFilters, *, after: int | None, limit: int
    ) -> BatchSearchPage:
        """Read a page of batches, newest first; see `BatchStore.search_batches`."""
        place = None if after is None else (await self._creation(after), after)
        params = search_row(workspace, filters, place, limit)
        if not is_storable(*(value for value in params.values() if isinstance(value, str))):
            return BatchSearchPage(batches=(), next=None)
        return search_page(await self._pool.fetch_all(search_query(filters), params), limit)

    async def _creation(self, key: int) -> int:
        row = await self._pool.fetch_one("creation_of_batch", {"key": key})
        assert row is not None  # a deleted batch keeps its row
        return int(row["created_at"])
