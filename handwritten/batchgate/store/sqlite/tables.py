"""All rows of a SQLite file: read without changing it, or written to a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.migrate import MIGRATIONS, applied, migrate
from batchgate.store.sqlite.sent_marks import read_bits, write_bits
from batchgate.store.tables import Row, Table, ordered, quoted

QUERIES: Final = load_queries("batchgate.store.sqlite", "tables.sql")
OWN: Final = ("sqlite_", "batchgate_migration", "yoyo")
"""How tables begin that are of this database and not of the installation."""
AS_AT_THE_START: Final = {("shards", "claimed"): "0"}
"""What the next start would make of a column: nobody holds a shard of a gateway that stands still."""


class SqliteRows:
    """The rows of a file; ``new`` ones are written in one transaction."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self._path = path
        self._new = new
        self._connection: sqlite3.Connection

    @contextmanager
    def opened(self) -> Iterator[SqliteRows]:
        """Open the file, and make it first if it is a new one."""
        try:
            if self._new:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                migrate(self._connect)
            with _translated(self._path):
                self._connection = self._connect()
                try:
                    self._begin()
                    yield self
                finally:
                    self._connection.close()
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    def _connect(self) -> sqlite3.Connection:
        mode = "mode=rwc" if self._new else "mode=ro"
        if not self._new and not self._path.with_name(f"{self._path.name}-wal").exists():
            mode = "immutable=1"  # or a reader would make an empty log of its own
        connection = sqlite3.connect(f"file:{quote(str(self._path))}?{mode}", uri=True, isolation_level=None)
        if self._new:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _begin(self) -> None:
        if not self._new and migration_files.missing(MIGRATIONS, applied(self._connection)):
            raise StoreError("its schema is of an earlier version; start this version of the gateway on it once")
        self._connection.execute("BEGIN IMMEDIATE" if self._new else "BEGIN")

    def tables(self) -> Mapping[str, Table]:
        """Name the tables."""
        names = [name for (name,) in self._connection.execute(QUERIES["tables"]) if not name.startswith(OWN)]
        references = [
            (name, to) for name in names for (to,) in self._connection.execute(QUERIES["references"], {"name": name})
        ]
        return ordered({name: self._table(name) for name in names}, references)

    def _table(self, name: str) -> Table:
        columns = list(self._connection.execute(QUERIES["columns"], {"name": name}))
        key = [column for column, place in sorted(columns, key=lambda column: column[1]) if place]
        return Table(name=name, columns=tuple(column for column, _ in columns), key=tuple(key))

    def count(self, table: Table) -> int:
        """Count the rows of a table."""
        (number,) = self._connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()  # noqa: S608
        return int(number)

    def rows(self, table: Table) -> Iterator[Row]:
        """Read the columns of a table in the order of its key."""
        columns = ", ".join(AS_AT_THE_START.get((table.name, name), f'"{name}"') for name in table.columns)
        yield from self._connection.execute(
            f'SELECT {columns} FROM "{table.name}" ORDER BY {quoted(table.key)}'  # noqa: S608
        )

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever given."""
        return dict(self._connection.execute(QUERIES["last_keys"]))

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of open shards were sent."""
        open_shards = set(self._connection.execute(QUERIES["open_shards"]))
        for place, bits in read_bits(self._path.with_suffix(".sent")):
            if place in open_shards:
                yield (*place, bits)

    def blob_names(self) -> Iterator[str]:
        """Name the blobs of batches and files that are there."""
        for (name,) in self._connection.execute(QUERIES["blob_names"]):
            yield str(name)

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Add rows."""
        marks = ", ".join("?" * len(table.columns))
        statement = f'INSERT INTO "{table.name}" ({quoted(table.columns)}) VALUES ({marks})'  # noqa: S608
        source = iter(rows)
        while some := list(islice(source, 100)):
            self._connection.executemany(statement, some)

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Let new keys begin behind those that were given, and write the marks beside the file."""
        for name, key in last_keys.items():
            self._connection.execute(QUERIES["drop_last_key"], {"name": name})
            self._connection.execute(QUERIES["set_last_key"], {"name": name, "key": key})
        write_bits(self._path.with_suffix(".sent"), sent_marks)

    def commit(self) -> None:
        """Keep what was written."""
        self._connection.execute("COMMIT")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the database could not be read or written: {error}") from error
