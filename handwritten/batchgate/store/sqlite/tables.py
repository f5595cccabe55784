"""Reads all rows of a SQLite file without changing it, or writes them to a new file."""

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
from batchgate.store.sqlite.migrate import MIGRATIONS, applied_migrations, migrate
from batchgate.store.sqlite.sent_marks import read_mark_bits, write_mark_bits
from batchgate.store.tables import Row, Table, quote_identifiers, sort_by_references

QUERIES: Final = load_queries("batchgate.store.sqlite", "tables.sql")
EXCLUDED_PREFIXES: Final = ("sqlite_", "batchgate_migration", "yoyo")
"""Name prefixes of tables that are not copied: they belong to the database file."""
RESET_COLUMNS: Final = {("shards", "claimed"): "0"}
"""The values of columns while no gateway is running: the next start releases all claims."""


class SqliteTables:
    """Reads the rows of a file; with ``writable``, creates the file and writes them in one transaction."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._path = path
        self._writable = writable
        self._connection: sqlite3.Connection

    @contextmanager
    def open(self) -> Iterator[SqliteTables]:
        """Open the file; a writable file is created first."""
        try:
            if self._writable:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                migrate(self._connect)
            with _translate_errors(self._path):
                self._connection = self._connect()
                try:
                    self._begin()
                    yield self
                finally:
                    self._connection.close()
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    def _connect(self) -> sqlite3.Connection:
        mode = "mode=rwc" if self._writable else "mode=ro"
        if not self._writable and not self._path.with_name(f"{self._path.name}-wal").exists():
            mode = "immutable=1"  # otherwise a reader would create an empty write-ahead log
        connection = sqlite3.connect(f"file:{quote(str(self._path))}?{mode}", uri=True, isolation_level=None)
        if self._writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _begin(self) -> None:
        if not self._writable and migration_files.needs_migration(MIGRATIONS, applied_migrations(self._connection)):
            raise StoreError(
                "the database has the schema of an earlier version; start this version of the gateway on it once"
            )
        self._connection.execute("BEGIN IMMEDIATE" if self._writable else "BEGIN")

    def tables(self) -> Mapping[str, Table]:
        """Return the tables by name, each after the tables that it references."""
        names = [
            name for (name,) in self._connection.execute(QUERIES["tables"]) if not name.startswith(EXCLUDED_PREFIXES)
        ]
        references = [
            (name, to) for name in names for (to,) in self._connection.execute(QUERIES["references"], {"name": name})
        ]
        return sort_by_references({name: self._table(name) for name in names}, references)

    def _table(self, name: str) -> Table:
        columns = list(self._connection.execute(QUERIES["columns"], {"name": name}))
        key = [column for column, key_position in sorted(columns, key=lambda column: column[1]) if key_position]
        return Table(name=name, columns=tuple(column for column, _ in columns), key=tuple(key))

    def count_rows(self, table: Table) -> int:
        """Count the rows of a table."""
        (number,) = self._connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()  # noqa: S608
        return int(number)

    def read_rows(self, table: Table) -> Iterator[Row]:
        """Read the rows of a table in key order."""
        columns = ", ".join(RESET_COLUMNS.get((table.name, name), f'"{name}"') for name in table.columns)
        yield from self._connection.execute(
            f'SELECT {columns} FROM "{table.name}" ORDER BY {quote_identifiers(table.key)}'  # noqa: S608
        )

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever generated."""
        return dict(self._connection.execute(QUERIES["last_keys"]))

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of unfinished shards were sent."""
        open_shards = set(self._connection.execute(QUERIES["unfinished_shards"]))
        for shard_key, bits in read_mark_bits(self._path.with_suffix(".sent")):
            if shard_key in open_shards:
                yield (*shard_key, bits)

    def blob_names(self) -> Iterator[str]:
        """Read the names of the blobs of all batches and files that are not deleted."""
        for (name,) in self._connection.execute(QUERIES["blob_names"]):
            yield str(name)

    def write_rows(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows."""
        placeholders = ", ".join("?" * len(table.columns))
        statement = f'INSERT INTO "{table.name}" ({quote_identifiers(table.columns)}) VALUES ({placeholders})'  # noqa: S608
        source = iter(rows)
        while page := list(islice(source, 100)):
            self._connection.executemany(statement, page)

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Let generated keys continue after ``last_keys``, and write the marks beside the file."""
        for name, key in last_keys.items():
            self._connection.execute(QUERIES["drop_last_key"], {"name": name})
            self._connection.execute(QUERIES["set_last_key"], {"name": name, "key": key})
        write_mark_bits(self._path.with_suffix(".sent"), sent_marks)

    def commit(self) -> None:
        """Commit the transaction."""
        self._connection.execute("COMMIT")


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the database could not be read or written: {error}") from error
