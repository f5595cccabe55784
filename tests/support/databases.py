"""A new database of either kind, for tests that must pass on both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from batchgate.store.postgres import PostgresAddress, PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.migrated_file import DATABASE_FILE, put_migrated_file
from tests.support.postgres_server import bare_database, fresh_database

DatabaseKind: TypeAlias = Literal["sqlite", "postgres"]
DATABASES: tuple[DatabaseKind, ...] = get_args(DatabaseKind)


@dataclass
class Database:
    """A database on which stores can be opened, one after another."""

    kind: DatabaseKind
    path: Path
    url: str | None
    """None for SQLite, whose file is at the path."""

    def store(self) -> SqliteStore | PostgresStore:
        """Make a store on this database; the caller enters it."""
        return SqliteStore(self.path) if self.url is None else PostgresStore(PostgresAddress(self.url))


@contextmanager
def new_database(kind: DatabaseKind, folder: Path) -> Iterator[Database]:
    """Make an empty database with all tables; a SQLite file is created in the folder."""
    path = folder / DATABASE_FILE
    if kind == "sqlite":
        put_migrated_file(folder)
        yield Database(kind, path, None)
    else:
        with fresh_database() as url:
            yield Database(kind, path, url)


@contextmanager
def new_bare_database(kind: DatabaseKind, folder: Path) -> Iterator[Database]:
    """Make a database without any tables."""
    path = folder / DATABASE_FILE
    if kind == "sqlite":
        yield Database(kind, path, None)
    else:
        with bare_database() as url:
            yield Database(kind, path, url)
