"""Applies the pending migrations of a SQLite file; the caller holds the lock of the data folder."""

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

_PRE_MIGRATION_VERSION: Final = 2
"""The ``user_version`` of databases from before migrations; they have the schema of the first migration."""
_FIRST_MIGRATION: Final = "0001.batches"


def migrate(connect: Callable[[], sqlite3.Connection]) -> None:
    """Apply the pending migrations; raises `StoreError`."""
    try:
        with closing(connect()) as connection:
            recorded, already_present = _read_applied(connection)
            if migration_files.needs_migration(MIGRATIONS, recorded):
                from batchgate.store.migration_runner import apply_sqlite_migrations  # noqa: PLC0415

                apply_sqlite_migrations(connection, MIGRATIONS, already_present)
    except sqlite3.Error as error:
        raise StoreError(f"the database could not be written: {error}") from error


def applied_migrations(connection: sqlite3.Connection) -> list[str]:
    """Return the migrations that the database has, recorded or from before migrations; raises `StoreError`."""
    recorded, already_present = _read_applied(connection)
    return [*recorded, *already_present]


def _read_applied(connection: sqlite3.Connection) -> tuple[list[str], tuple[str, ...]]:
    """Return the recorded migrations, and those that the database has without a record."""
    (version,) = connection.execute(QUERIES["version"]).fetchone()
    (tables,) = connection.execute(QUERIES["count_tables"]).fetchone()
    if version == _PRE_MIGRATION_VERSION:
        return [], (_FIRST_MIGRATION,)
    if version == migration_files.MIGRATED_USER_VERSION:
        return [name for (name,) in connection.execute(QUERIES["applied_migrations"])], ()
    if version or tables:
        raise StoreError(
            f"the database has schema {version}, which is not one of Batchgate's;"
            f" this version supports up to schema {migration_files.MIGRATED_USER_VERSION}"
        )
    return [], ()
