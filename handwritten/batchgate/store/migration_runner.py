"""Yoyo, on the connection of a caller who holds the lock, and all in one transaction."""

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

from batchgate.store.migration_files import APPLIED, NUMBERED

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

_NOWHERE: Final = DatabaseURI(scheme="", username=None, password=None, hostname=None, port=None, database="", args={})
"""Yoyo connects to nothing itself."""


class _GivenConnection(DatabaseBackend):
    """A backend on a connection that is there already; its tables are named as ours."""

    log_table = "batchgate_migration_log"
    version_table = "batchgate_migration_version"

    def __init__(self, connection: Any) -> None:
        self._given = connection
        super().__init__(_NOWHERE, APPLIED)

    def connect(self, _uri: DatabaseURI) -> Any:
        """Take the connection."""
        return self._given

    def apply(self, folder: Path, made_before: tuple[str, ...]) -> None:
        """Apply what is missing, all or nothing; ``made_before`` names what is there already, and only to be noted."""
        with self.transaction():
            internalmigrations.upgrade(self)
            self._internal_schema_updated = True
            for migration in self.to_apply(read_migrations(str(folder))):
                if migration.id not in made_before:
                    migration.process_steps(self, "apply")
                self.mark_one(migration, log=False)
                logger.info("the database has migration %s now", migration.id, extra={"action": "schema_migrated"})
            self.number()

    def number(self) -> None:
        """Note that the schema is numbered, where a database needs that beside the table."""


class _Sqlite(_GivenConnection, SQLiteBackend):
    def begin(self) -> None:
        """Begin a transaction that keeps everybody else out from its beginning."""
        self._in_transaction = True
        self.execute("BEGIN EXCLUSIVE")

    def number(self) -> None:
        """Have versions without migrations refuse the file."""
        self.execute(f"PRAGMA user_version = {NUMBERED}")


class _Postgres(_GivenConnection, PostgresqlPsycopgBackend):
    pass


def apply_to_sqlite(connection: sqlite3.Connection, folder: Path, made_before: tuple[str, ...]) -> None:
    """Apply the migrations that are missing."""
    with _Sqlite(connection) as backend:  # for as long as yoyo's way to write times is to hold
        backend.apply(folder, made_before)


def apply_to_postgres(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Apply the migrations that are missing."""
    _Postgres(connection).apply(folder, ())
