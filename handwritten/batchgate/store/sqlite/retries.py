"""Retries of batches in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.batch import Batch
from batchgate.store.queries import load_queries
from batchgate.store.records import batch_from_row
from batchgate.store.sqlite.connection import SqliteFile

QUERIES: Final = load_queries("batchgate.store.sqlite", "retries.sql")


class SqliteRetries:
    """The part of a store that finds the retries of a batch."""

    _file: SqliteFile

    async def retries_of(self, workspace: str, batch_id: str, *, limit: int) -> Sequence[Batch]:
        """Read the retries of a batch and theirs, the oldest first."""
        params = {"workspace": workspace, "id": batch_id, "limit": limit}
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["retries_of"], params).fetchall())
        return [batch_from_row(row) for row in rows]
