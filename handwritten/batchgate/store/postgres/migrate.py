"""Brings the schema of a PostgreSQL database up to date, one process at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.postgres.address import Address
from batchgate.store.postgres.connection import QUERIES

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(address: Address) -> None:
    """Apply the migrations that are missing; others that start meanwhile wait. Raises `StoreError`.

    The lock belongs to the connection: it goes when this process does, however it ends.
    """
    try:
        with psycopg.connect(address.conninfo, autocommit=True) as connection:
            connection.execute(QUERIES["lock_migrations"])
            if migration_files.missing(MIGRATIONS, applied(connection)):
                from batchgate.store.migration_runner import apply_to_postgres  # noqa: PLC0415

                apply_to_postgres(connection, MIGRATIONS)
    except psycopg.Error as error:
        raise StoreError(f"the database is not ready: {address.hidden(str(error))}") from error


def applied(connection: Connection[Any]) -> list[str]:
    """Read which migrations the database has; raises `StoreError` where there are none, but tables called like ours."""
    noted, ours = connection.execute(QUERIES["find_tables"]).fetchone() or (False, False)
    if noted:
        return [name for (name,) in connection.execute(QUERIES["applied_migrations"])]
    if ours:
        raise StoreError(
            "the database has a table called batches that is not Batchgate's; give it a database of its own"
        )
    return []
