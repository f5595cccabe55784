"""All rows of a database, table by table in the order of their keys, for whoever copies or compares them.

The tables are what the database itself says it has: one that a migration adds is copied without a word here. So the
statements are made of names from its catalog, quoted, and of nothing else. Rows are the same from every database:
integers, texts, bytes and nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]


class Table(Struct, frozen=True, kw_only=True):
    """A table and what is copied of it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """The columns of its primary key, in whose order rows are read."""


class Rows(Protocol):
    """A database whose rows can be read; used from one thread. Raises `StoreError`."""

    def tables(self) -> Mapping[str, Table]:
        """Name the tables that hold an installation, those first that others refer to."""
        ...

    def count(self, table: Table) -> int:
        """Count the rows of a table."""
        ...

    def rows(self, table: Table) -> Iterator[Row]:
        """Read the columns of a table in the order of its key, a few rows at a time."""
        ...

    def last_keys(self) -> Mapping[str, int]:
        """Read the highest key that each table has ever given."""
        ...

    def sent_marks(self) -> Iterator[Row]:
        """Read which requests of open shards were sent: the key of a batch, the index of a shard, a bit for each."""
        ...

    def blob_names(self) -> Iterator[str]:
        """Name the blobs of batches and files that are there."""
        ...


class NewRows(Rows, Protocol):
    """A database that rows are written to, in one transaction: all of them or none."""

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Add rows."""
        ...

    def finish(self, last_keys: Mapping[str, int], sent_marks: Iterable[Row]) -> None:
        """Add what follows from the rows, and let new keys begin behind those that were given."""
        ...

    def commit(self) -> None:
        """Keep what was written."""
        ...


def ordered(tables: Mapping[str, Table], references: Iterable[tuple[str, str]]) -> dict[str, Table]:
    """Put tables into an order in which none refers to a later one; ``references`` are pairs of (from, to)."""
    needs = {name: {to for by, to in references if by == name and to != name and to in tables} for name in tables}
    done: dict[str, Table] = {}
    while len(done) < len(tables):
        free = sorted(name for name in tables if name not in done and needs[name] <= done.keys())
        if not free:
            free = sorted(tables.keys() - done.keys())
        done |= {name: tables[name] for name in free}
    return done


def quoted(names: Sequence[str]) -> str:
    """Write names as SQL has them, where they are no words of its own."""
    return ", ".join(f'"{name}"' for name in names)
