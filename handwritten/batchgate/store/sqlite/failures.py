"""The failures of batches in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.failure import FailureGroup, end_failures, merge_failures
from batchgate.store.failure_records import failures_from_row, failures_row
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.connection import SqliteFile

QUERIES: Final = load_queries("batchgate.store.sqlite", "failures.sql")


class SqliteFailures:
    """The part of a store that reads failures."""

    _file: SqliteFile

    async def failures_of(self, batch_key: int) -> Sequence[FailureGroup]:
        """Read why requests of a batch did not succeed."""
        return await self._file.look_up(("failures_of_batch", batch_key), lambda c: _find(c, batch_key))


def add_failures(connection: sqlite3.Connection, batch_key: int, added: Sequence[FailureGroup]) -> None:
    """Add failures to those of a batch."""
    if added:
        _store(connection, batch_key, merge_failures(_find(connection, batch_key), added))


def add_unfinished(connection: sqlite3.Connection, batch_key: int, unfinished: FailureGroup | None) -> None:
    """Add the requests of a batch that ended without a result."""
    if unfinished is not None:
        _store(connection, batch_key, end_failures(_find(connection, batch_key), unfinished))


def drop_failures(connection: sqlite3.Connection, batch_key: int) -> None:
    """Delete the failures of a batch."""
    connection.execute(QUERIES["drop_failures"], {"batch_key": batch_key})


def _find(connection: sqlite3.Connection, batch_key: int) -> tuple[FailureGroup, ...]:
    return failures_from_row(connection.execute(QUERIES["failures_of_batch"], {"batch_key": batch_key}).fetchone())


def _store(connection: sqlite3.Connection, batch_key: int, groups: Sequence[FailureGroup]) -> None:
    connection.execute(QUERIES["store_failures"], failures_row(batch_key, groups))
