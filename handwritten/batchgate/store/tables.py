"""Reading and writing all rows of a database, table by table in key order, to copy or compare installations.

The tables come from the catalog of the database, so a table that a migration adds is copied without a change here.
Statements contain only quoted names from that catalog. Every database returns the same rows: integers, texts, bytes and
None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]


class Table(Struct, frozen=True, kw_only=True):
    """A table, and its columns that are copied."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """The columns of the primary key; rows are read in this order."""


class TableReader(Protocol):
    """Reads the rows of a database; used from one thread. Raises `StoreError`."""

    def tables(self) -> Mapping[str, Table]:
        """Return the tables of an installation by name, each after the tables that it references."""
        ...

    def count_rows(self, table: Table) -> int:
        """Count the rows of a table."""
        ...

    def read_rows(self, table: Table) -> Iterator[Row]:
        """Read the rows of a table in key order, a few at a time."""
        ...

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever generated."""
        ...

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of unfinished shards were sent: batch key, shard index, and one bit per request."""
        ...

    def blob_names(self) -> Iterator[str]:
        """Read the names of the blobs of all batches and files that are not deleted."""
        ...


class TableWriter(TableReader, Protocol):
    """Writes rows to a database in one transaction: all of them or none."""

    def write_rows(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows."""
        ...

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Write the data derived from the rows, and let generated keys continue after ``last_keys``."""
        ...

    def commit(self) -> None:
        """Commit the transaction."""
        ...


def sort_by_references(tables: Mapping[str, Table], references: Iterable[tuple[str, str]]) -> dict[str, Table]:
    """Sort tables so that none references a later one; ``references`` are pairs (from, to)."""
    referenced = {name: {to for by, to in references if by == name and to != name and to in tables} for name in tables}
    done: dict[str, Table] = {}
    while len(done) < len(tables):
        free = sorted(name for name in tables if name not in done and referenced[name] <= done.keys())
        if not free:
            free = sorted(tables.keys() - done.keys())
        done |= {name: tables[name] for name in free}
    return done


def quote_identifiers(names: Sequence[str]) -> str:
    """Return names as quoted SQL identifiers."""
    return ", ".join(f'"{name}"' for name in names)
