"""Copies rows from one database to another, and compares them row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Final

import msgspec
from msgspec import Struct, structs

from batchgate.engine.model.errors import StoreError
from batchgate.store.tables import NewRows, Row, Rows, Table

REPORTED_EVERY: Final = 10_000
"""Rows between two reports of how far it is."""

Progress = Callable[[str], None]


class Compared(Struct, frozen=True, kw_only=True):
    """What a comparison of one table has found."""

    table: str
    rows: int
    copied: int
    digest: str
    """A hash of all rows of the source, in the order of their keys."""
    difference: str | None
    """The first row that differs, if one does."""


def shared_tables(source: Rows, target: Rows) -> list[Table]:
    """Tell what is to be copied; raises `StoreError` where the schemas do not fit."""
    there, here = source.tables(), target.tables()
    if there.keys() != here.keys():
        odd = ", ".join(sorted(there.keys() ^ here.keys()))
        raise StoreError(f"the databases do not have the same tables: {odd}")
    return [_shared(table, here[name]) for name, table in there.items()]


def _shared(ours: Table, theirs: Table) -> Table:
    odd = sorted(set(ours.columns) ^ set(theirs.columns))
    if odd:
        raise StoreError(f"the databases do not have the same columns: {ours.name}: {', '.join(odd)}")
    # One of them may tell rows apart by a column that it derives; both read in the order of what they share.
    key = ours.key if set(ours.key) <= set(theirs.columns) else theirs.key
    return structs.replace(ours, key=key)


def check_empty(target: Rows, tables: Iterable[Table]) -> None:
    """Raise `StoreError` unless a database holds nothing."""
    for table in tables:
        if number := target.count(table):
            raise StoreError(f"the target is not empty: {table.name} has {number} rows; give it a database of its own")


def copy_rows(source: Rows, target: NewRows, tables: Iterable[Table], progress: Progress) -> None:
    """Write all rows of all tables, and what follows from them."""
    for table in tables:
        target.write(table, _told(table.name, source.rows(table), progress))
    target.finish(source.last_keys(), source.sent_marks())


def compare(source: Rows, target: Rows, tables: Iterable[Table], progress: Progress) -> list[Compared]:
    """Read both databases side by side, row by row."""
    return [_compare(table, source, target, progress) for table in tables]


def _compare(table: Table, source: Rows, target: Rows, progress: Progress) -> Compared:
    digest, rows, copied, difference = hashlib.blake2b(digest_size=16), 0, 0, None
    ours, theirs = _told(f"verifying {table.name}", source.rows(table), progress), target.rows(table)
    for row, other in zip_longest(ours, theirs):
        if row is not None:
            rows += 1
            digest.update(msgspec.msgpack.encode(row))
        copied += other is not None
        if row != other and difference is None:
            difference = _difference(table, row, other)
    return Compared(table=table.name, rows=rows, copied=copied, digest=digest.hexdigest(), difference=difference)


def _difference(table: Table, row: Row | None, other: Row | None) -> str:
    """Say which row differs, and in which columns, without what it holds."""
    known: Mapping[str, object] = dict(zip(table.columns, row or other or (), strict=True))
    place = ", ".join(f"{name} {known[name]!r}" for name in table.key)
    if other is None:
        return f"{place} is missing"
    if row is None:
        return f"{place} is not in the source"
    names = [name for name, mine, its in zip(table.columns, row, other, strict=True) if mine != its]
    if any(name in table.key for name in names):
        return f"{place} is missing, or another row is there that the source does not have"
    return f"{place} differs in {', '.join(names)}"


def _told(what: str, rows: Iterable[Row], progress: Progress) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        yield row
        if number % REPORTED_EVERY == 0:
            progress(f"{what}: {number:,} rows")
