"""Searches for batches in a SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Final

from batchgate.engine.model.batch import BatchFilters, BatchSearchPage
from batchgate.store.queries import load_queries
from batchgate.store.search_records import search_page, search_query, search_row
from batchgate.store.sqlite.connection import SqliteFile

LOOKUP_ROWS: Final = 101
"""Rows of a page that are read on the event loop, the one beyond it included."""
QUERIES: Final = load_queries("batchgate.store.sqlite", "batch_search.sql")


class SqliteBatchSearch:
    """The part of a store that searches for batches."""

    _file: SqliteFile

    async def search_batches(
        self, workspace: str, filters: BatchFilters, *, after: int | None, limit: int
    ) -> BatchSearchPage:
        """Read a page of batches, newest first; see `BatchStore.search_batches`."""
        place = None if after is None else (await self._creation(after), after)
        query, params = search_query(filters), search_row(workspace, filters, place, limit)

        def read(connection: sqlite3.Connection) -> BatchSearchPage:
            return search_page(connection.execute(QUERIES[query], params).fetchall(), limit)

        if params["scanned"] <= LOOKUP_ROWS:
            return await self._file.look_up((query, *params.values()), read)
        return await self._file.read_long(read)

    async def _creation(self, key: int) -> int:
        params = {"key": key}
        row = await self._file.look_up(
            ("creation_of_batch", key), lambda c: c.execute(QUERIES["creation_of_batch"], params).fetchone()
        )
        return int(row["created_at"])
