"""All rows of a PostgreSQL database, read or written in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.postgres.address import Address
from batchgate.store.postgres.migrate import MIGRATIONS, applied, migrate
from batchgate.store.queries import load_queries
from batchgate.store.records import unpack
from batchgate.store.tables import Row, Table, ordered

QUERIES: Final = {name: text.encode() for name, text in load_queries("batchgate.store.postgres", "tables.sql").items()}
OWN: Final = ("procrastinate_", "batchgate_migration", "yoyo", "members", "leases", "sent_marks")
"""How tables begin that are of the processes on this database and not of the installation."""
DERIVED: Final = {("shards", "chunks"), ("chunks", "first_seq"), ("loose_blobs", "writer")}
"""Columns that follow from others, or from who is alive."""
AS_AT_THE_START: Final = {("shards", "claimed"): SQL("0")}
"""What a column is when nobody is alive."""
AT_ONCE: Final = 50
"""Rows that are read at once: a chunk may hold megabytes."""


class PostgresRows:
    """The rows of a database; ``new`` ones are written in one transaction."""

    def __init__(self, address: Address, *, new: bool = False) -> None:
        self._address = address
        self._new = new
        self._connection: Connection[Any]
        self._booleans: frozenset[tuple[str, str]] = frozenset()

    @contextmanager
    def opened(self) -> Iterator[PostgresRows]:
        """Connect, and bring the schema up to date first if it is a new one."""
        if self._new:
            migrate(self._address)
        try:
            with psycopg.connect(self._address.conninfo) as self._connection:
                self._begin()
                yield self
                self._connection.rollback()  # what was not committed is not to be
        except psycopg.Error as error:
            said = error.diag.message_primary or str(error)
            raise StoreError(f"the database did not answer as it should: {self._address.hidden(said)}") from error

    def _begin(self) -> None:
        self._connection.execute(QUERIES["begin_new" if self._new else "begin"])
        if self._new:
            self._connection.execute(QUERIES["keep_writers_out"])
        if not self._new and migration_files.missing(MIGRATIONS, applied(self._connection)):
            raise StoreError("its schema is of an earlier version; start this version of the gateway on it once")
        alive = self._connection.execute(QUERIES["alive"]).fetchall()
        if alive:
            names = ", ".join(name for (name,) in alive)
            raise StoreError(f"the database is in use by {names}; stop all gateways and workers first")

    def tables(self) -> Mapping[str, Table]:
        """Name the tables."""
        found: dict[str, Table] = {}
        for name, columns, booleans, key in self._connection.execute(QUERIES["tables"]):
            if not name.startswith(OWN):
                kept = tuple(column for column in columns if (name, column) not in DERIVED)
                found[name] = Table(name=name, columns=kept, key=tuple(key))
                self._booleans |= {(name, column) for column in booleans}
        return ordered(found, list(self._connection.execute(QUERIES["references"])))

    def count(self, table: Table) -> int:
        """Count the rows of a table."""
        query = SQL("SELECT count(*) FROM {}").format(Identifier(table.name))
        (number,) = self._connection.execute(query).fetchone() or (0,)
        return int(number)

    def rows(self, table: Table) -> Iterator[Row]:
        """Read the columns of a table in the order of its key, texts by their bytes."""
        query = SQL("SELECT {} FROM {} ORDER BY {}").format(
            SQL(", ").join(self._read(table.name, column) for column in table.columns),
            Identifier(table.name),
            SQL(", ").join(self._ordered(table.name, column) for column in table.key),
        )
        with self._connection.cursor("rows", binary=True) as cursor:
            cursor.itersize = AT_ONCE
            yield from cursor.execute(query)

    def _read(self, table: str, column: str) -> Composable:
        if (table, column) in AS_AT_THE_START:
            return AS_AT_THE_START[table, column]
        name = Identifier(column)
        return SQL("{}::integer").format(name) if (table, column) in self._booleans else name

    def _ordered(self, table: str, column: str) -> Composable:
        return SQL('{} COLLATE "C"').format(Identifier(column)) if self._is_text(table, column) else Identifier(column)

    def _is_text(self, table: str, column: str) -> bool:
        bound = {"table": table, "column": column}
        return self._connection.execute(QUERIES["is_text"], bound).fetchone() is not None

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever given."""
        rows = self._connection.execute(QUERIES["last_keys"])
        return {name: int(key) for name, key in rows if not name.startswith(OWN)}

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of open shards were sent."""
        with self._connection.cursor("marks", binary=True) as cursor:
            yield from cursor.execute(QUERIES["sent_marks"])

    def blob_names(self) -> Iterator[str]:
        """Name the blobs of batches and files that are there."""
        with self._connection.cursor("names") as cursor:
            for (name,) in cursor.execute(QUERIES["blob_names"]):
                yield name

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Add rows, with what follows from them."""
        columns = (*table.columns, "first_seq") if table.name == "chunks" else table.columns
        query = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), SQL(", ").join(map(Identifier, columns)))
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                copy.write_row(self._written(table, row))

    def _written(self, table: Table, row: Row) -> list[object]:
        values: list[object] = [
            bool(value) if (table.name, column) in self._booleans else value
            for column, value in zip(table.columns, row, strict=True)
        ]
        if table.name == "chunks":
            seqs = row[table.columns.index("seqs")]
            assert isinstance(seqs, bytes)
            values.append(unpack(seqs)[0])
        return values

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Count the chunks of each shard, take the marks over, and let new keys begin behind those that were given."""
        self._connection.execute(QUERIES["count_chunks"])
        with self._connection.cursor() as cursor:
            for batch_key, shard, bits in sent_marks:
                cursor.execute(QUERIES["add_marks"], {"batch_key": batch_key, "shard": shard, "bits": bits})
            for name, key in last_keys.items():
                cursor.execute(QUERIES["set_last_key"], {"table": name, "key": key})

    def commit(self) -> None:
        """Keep what was written."""
        self._connection.commit()
