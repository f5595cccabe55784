"""Brings the schema of a SQLite file up to date; the data folder's lock keeps other gateways away from it meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.queries import load_queries

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERIES: Final = load_queries("batchgate.store.sqlite", "migrate.sql")

_UNNUMBERED: Final = 2
"""The ``user_version`` of databases made before migrations were numbered; they have the schema of the first."""
_FIRST: Final = "0001.batches"


def migrate(connect: Callable[[], sqlite3.Connection]) -> None:
    """Apply the migrations that are missing; raises `StoreError`."""
    try:
        with closing(connect()) as connection:
            noted, made_before = _found(connection)
            if migration_files.missing(MIGRATIONS, noted):
                from batchgate.store.migration_runner import apply_to_sqlite  # noqa: PLC0415

                apply_to_sqlite(connection, MIGRATIONS, made_before)
    except sqlite3.Error as error:
        raise StoreError(f"the database could not be written: {error}") from error


def applied(connection: sqlite3.Connection) -> list[str]:
    """Read which migrations the database has, noted or made before they were numbered; raises `StoreError`."""
    noted, made_before = _found(connection)
    return [*noted, *made_before]


def _found(connection: sqlite3.Connection) -> tuple[list[str], tuple[str, ...]]:
    """Read which migrations are noted in the database, and which it has beside these."""
    (version,) = connection.execute(QUERIES["version"]).fetchone()
    (tables,) = connection.execute(QUERIES["count_tables"]).fetchone()
    if version == _UNNUMBERED:
        return [], (_FIRST,)
    if version == migration_files.NUMBERED:
        return [name for (name,) in connection.execute(QUERIES["applied_migrations"])], ()
    if version or tables:
        raise StoreError(
            f"the database has schema {version}, which is none of Batchgate's up to schema {migration_files.NUMBERED}"
        )
    return [], ()
