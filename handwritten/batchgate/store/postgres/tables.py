"""Reads and writes all rows of a PostgreSQL database, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.migrate import MIGRATIONS, applied_migrations, migrate
from batchgate.store.queries import load_queries
from batchgate.store.records import unpack_seqs
from batchgate.store.tables import Row, Table, sort_by_references

QUERIES: Final = {name: text.encode() for name, text in load_queries("batchgate.store.postgres", "tables.sql").items()}
EXCLUDED_PREFIXES: Final = ("procrastinate_", "batchgate_migration", "yoyo", "members", "leases", "sent_marks")
"""Name prefixes of tables that are not copied: they belong to the database or to the running processes."""
DERIVED_COLUMNS: Final = {("shards", "chunks"), ("chunks", "first_seq"), ("loose_blobs", "writer")}
"""Columns that are not copied: they are derived from other columns or from the running processes."""
RESET_COLUMNS: Final = {("shards", "claimed"): SQL("0")}
"""The values of columns while no process is running."""
FETCH_SIZE: Final = 50
"""Rows per fetch; a chunk may have megabytes."""


class PostgresTables:
    """Reads the rows of a database; ``writable`` also writes them, in one transaction."""

    def __init__(self, address: PostgresAddress, *, writable: bool = False) -> None:
        self._address = address
        self._writable = writable
        self._connection: Connection[Any]
        self._booleans: frozenset[tuple[str, str]] = frozenset()

    @contextmanager
    def open(self) -> Iterator[PostgresTables]:
        """Connect; a writable database gets its schema first."""
        if self._writable:
            migrate(self._address)
        try:
            with psycopg.connect(self._address.conninfo) as self._connection:
                self._begin()
                yield self
                self._connection.rollback()  # drop what was not committed
        except psycopg.Error as error:
            reason = error.diag.message_primary or str(error)
            raise StoreError(f"the database failed: {self._address.redact(reason)}") from error

    def _begin(self) -> None:
        self._connection.execute(QUERIES["begin_write" if self._writable else "begin_read"])
        if self._writable:
            self._connection.execute(QUERIES["block_writers"])
        if not self._writable and migration_files.needs_migration(MIGRATIONS, applied_migrations(self._connection)):
            raise StoreError(
                "the database has the schema of an earlier version; start this version of the gateway on it once"
            )
        members = self._connection.execute(QUERIES["list_recent_members"]).fetchall()
        if members:
            names = ", ".join(name for (name,) in members)
            raise StoreError(f"the database is in use by {names}; stop all gateways and workers first")

    def tables(self) -> Mapping[str, Table]:
        """Return the tables by name, each after the tables that it references."""
        found: dict[str, Table] = {}
        for name, columns, booleans, key in self._connection.execute(QUERIES["tables"]):
            if not name.startswith(EXCLUDED_PREFIXES):
                kept = tuple(column for column in columns if (name, column) not in DERIVED_COLUMNS)
                found[name] = Table(name=name, columns=kept, key=tuple(key))
                self._booleans |= {(name, column) for column in booleans}
        return sort_by_references(found, list(self._connection.execute(QUERIES["references"])))

    def count_rows(self, table: Table) -> int:
        """Count the rows of a table."""
        query = SQL("SELECT count(*) FROM {}").format(Identifier(table.name))
        (number,) = self._connection.execute(query).fetchone() or (0,)
        return int(number)

    def read_rows(self, table: Table) -> Iterator[Row]:
        """Read the rows of a table in key order; texts are ordered by their bytes."""
        query = SQL("SELECT {} FROM {} ORDER BY {}").format(
            SQL(", ").join(self._select_expression(table.name, column) for column in table.columns),
            Identifier(table.name),
            SQL(", ").join(self._order_expression(table.name, column) for column in table.key),
        )
        with self._connection.cursor("rows", binary=True) as cursor:
            cursor.itersize = FETCH_SIZE
            yield from cursor.execute(query)

    def _select_expression(self, table: str, column: str) -> Composable:
        if (table, column) in RESET_COLUMNS:
            return RESET_COLUMNS[table, column]
        name = Identifier(column)
        return SQL("{}::integer").format(name) if (table, column) in self._booleans else name

    def _order_expression(self, table: str, column: str) -> Composable:
        return SQL('{} COLLATE "C"').format(Identifier(column)) if self._is_text(table, column) else Identifier(column)

    def _is_text(self, table: str, column: str) -> bool:
        params = {"table": table, "column": column}
        return self._connection.execute(QUERIES["is_text"], params).fetchone() is not None

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever generated."""
        rows = self._connection.execute(QUERIES["last_keys"])
        return {name: int(key) for name, key in rows if not name.startswith(EXCLUDED_PREFIXES)}

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of unfinished shards were sent."""
        with self._connection.cursor("marks", binary=True) as cursor:
            yield from cursor.execute(QUERIES["sent_marks"])

    def blob_names(self) -> Iterator[str]:
        """Read the names of the blobs of all batches and files that are not deleted."""
        with self._connection.cursor("names") as cursor:
            for (name,) in cursor.execute(QUERIES["blob_names"]):
                yield name

    def write_rows(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows, with their derived columns."""
        columns = (*table.columns, "first_seq") if table.name == "chunks" else table.columns
        query = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), SQL(", ").join(map(Identifier, columns)))
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                copy.write_row(self._row_values(table, row))

    def _row_values(self, table: Table, row: Row) -> list[object]:
        values: list[object] = [
            bool(value) if (table.name, column) in self._booleans else value
            for column, value in zip(table.columns, row, strict=True)
        ]
        if table.name == "chunks":
            seqs = row[table.columns.index("seqs")]
            assert isinstance(seqs, bytes)
            values.append(unpack_seqs(seqs)[0])
        return values

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Count the chunks of each shard, write the marks, and let generated keys continue after ``last_keys``."""
        self._connection.execute(QUERIES["count_chunks"])
        with self._connection.cursor() as cursor:
            for batch_key, shard, bits in sent_marks:
                cursor.execute(QUERIES["add_marks"], {"batch_key": batch_key, "shard": shard, "bits": bits})
            for name, key in last_keys.items():
                cursor.execute(QUERIES["set_last_key"], {"table": name, "key": key})

    def commit(self) -> None:
        """Commit the transaction."""
        self._connection.commit()
