"""Applies the pending migrations of a PostgreSQL database, one process at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.connection import QUERIES

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(address: PostgresAddress) -> None:
    """Apply the pending migrations, while other processes that start wait. Raises `StoreError`.

    The lock belongs to the connection: the server releases it when this process ends, however it ends.
    """
    try:
        with psycopg.connect(address.conninfo, autocommit=True) as connection:
            connection.execute(QUERIES["lock_migrations"])
            if migration_files.needs_migration(MIGRATIONS, applied_migrations(connection)):
                from batchgate.store.migration_runner import apply_postgres_migrations  # noqa: PLC0415

                apply_postgres_migrations(connection, MIGRATIONS)
    except psycopg.Error as error:
        raise StoreError(f"the database cannot be migrated: {address.redact(str(error))}") from error


def applied_migrations(connection: Connection[Any]) -> list[str]:
    """Return the applied migrations; raises `StoreError` if there are none but the table batches exists."""
    has_migrations, has_batches = connection.execute(QUERIES["find_tables"]).fetchone() or (False, False)
    if has_migrations:
        return [name for (name,) in connection.execute(QUERIES["applied_migrations"])]
    if has_batches:
        raise StoreError(
            "the database has a table batches that is not Batchgate's; use a database of its own for Batchgate"
        )
    return []
