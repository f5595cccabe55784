"""Runs yoyo on the connection of a caller that holds the migration lock, in one transaction."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yoyo import internalmigrations, read_migrations
from yoyo.backends import DatabaseBackend
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.connections import DatabaseURI

from batchgate.store.migration_files import MIGRATED_USER_VERSION, MIGRATIONS_TABLE

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

_NO_ADDRESS: Final = DatabaseURI(
    scheme="", username=None, password=None, hostname=None, port=None, database="", args={}
)
"""Yoyo connects to nothing itself."""


class _ExistingConnectionBackend(DatabaseBackend):
    """A yoyo backend on an open connection, with Batchgate's names for yoyo's tables."""

    log_table = "batchgate_migration_log"
    version_table = "batchgate_migration_version"

    def __init__(self, connection: Any) -> None:
        self._connection_in_use = connection
        super().__init__(_NO_ADDRESS, MIGRATIONS_TABLE)

    def connect(self, _uri: DatabaseURI) -> Any:
        """Return the given connection."""
        return self._connection_in_use

    def apply(self, folder: Path, already_present: tuple[str, ...]) -> None:
        """Apply the pending migrations, all or none; those in ``already_present`` are only recorded."""
        applied: list[str] = []
        with self.transaction():
            internalmigrations.upgrade(self)
            self._internal_schema_updated = True
            for migration in self.to_apply(read_migrations(str(folder))):
                if migration.id not in already_present:
                    migration.process_steps(self, "apply")
                self.mark_one(migration, log=False)
                applied.append(migration.id)
            self.record_schema_version()
        if applied:
            message = "applied %d migrations to the database, the last one is %s"
            logger.info(message, len(applied), applied[-1], extra={"action": "schema_migrated"})

    def record_schema_version(self) -> None:
        """Record the schema version outside of yoyo's table, if the database needs it."""


class _SqliteBackend(_ExistingConnectionBackend, SQLiteBackend):
    def begin(self) -> None:
        """Begin a transaction with an exclusive lock."""
        self._in_transaction = True
        self.execute("BEGIN EXCLUSIVE")

    def record_schema_version(self) -> None:
        """Make versions of Batchgate without migrations refuse the file."""
        self.execute(f"PRAGMA user_version = {MIGRATED_USER_VERSION}")


class _PostgresBackend(_ExistingConnectionBackend, PostgresqlPsycopgBackend):
    pass


def apply_sqlite_migrations(connection: sqlite3.Connection, folder: Path, already_present: tuple[str, ...]) -> None:
    """Apply the pending migrations to a SQLite file."""
    with _SqliteBackend(connection) as backend:  # its context registers yoyo's adapter for times
        backend.apply(folder, already_present)


def apply_postgres_migrations(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Apply the pending migrations to a PostgreSQL database."""
    _PostgresBackend(connection).apply(folder, ())
