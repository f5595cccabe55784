"""An empty database of either kind, for tests that hold on both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from batchgate.store.postgres import PostgresAddress, PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.postgres_server import bare_database, fresh_database

Kind: TypeAlias = Literal["sqlite", "postgres"]
DATABASES: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Database:
    """A database that stores can be opened on, one after another."""

    kind: Kind
    path: Path
    url: str | None
    """None for SQLite's file at the path."""

    def store(self) -> SqliteStore | PostgresStore:
        """Make a store on it, to be entered."""
        return SqliteStore(self.path) if self.url is None else PostgresStore(PostgresAddress(self.url))


@contextmanager
def a_database(kind: Kind, folder: Path) -> Iterator[Database]:
    """Make a database, in the folder if it is a file."""
    path = folder / "batchgate.db"
    if kind == "sqlite":
        yield Database(kind, path, None)
    else:
        with fresh_database() as url:
            yield Database(kind, path, url)


@contextmanager
def a_bare_database(kind: Kind, folder: Path) -> Iterator[Database]:
    """Make a database without any tables."""
    path = folder / "batchgate.db"
    if kind == "sqlite":
        yield Database(kind, path, None)
    else:
        with bare_database() as url:
            yield Database(kind, path, url)
