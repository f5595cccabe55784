"""Copies rows from one database to another, and compares them row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Final

import msgspec
from msgspec import Struct, structs

from batchgate.engine.model.errors import StoreError
from batchgate.store.tables import Row, Table, TableReader, TableWriter

PROGRESS_INTERVAL: Final = 10_000
"""Rows between two progress reports."""

Progress = Callable[[str], None]


class TableComparison(Struct, frozen=True, kw_only=True):
    """The result of comparing one table of two databases."""

    table: str
    rows: int
    copied: int
    digest: str
    """A hash of all rows of the source, in key order."""
    difference: str | None
    """A description of the first difference; None if there is none."""


def shared_tables(source: TableReader, target: TableReader) -> list[Table]:
    """Return the tables to copy; raises `StoreError` if the schemas differ."""
    source_tables, target_tables = source.tables(), target.tables()
    if source_tables.keys() != target_tables.keys():
        different = ", ".join(sorted(source_tables.keys() ^ target_tables.keys()))
        raise StoreError(f"the databases have different tables: {different}")
    return [_shared_table(table, target_tables[name]) for name, table in source_tables.items()]


def _shared_table(source: Table, target: Table) -> Table:
    different = sorted(set(source.columns) ^ set(target.columns))
    if different:
        raise StoreError(f"the databases have different columns: {source.name}: {', '.join(different)}")
    # The key of one database may contain a derived column; both are read in the order of a key that both have.
    key = source.key if set(source.key) <= set(target.columns) else target.key
    return structs.replace(source, key=key)


def check_target_empty(target: TableReader, tables: Iterable[Table]) -> None:
    """Raise `StoreError` unless all tables of the target are empty."""
    for table in tables:
        if number := target.count_rows(table):
            raise StoreError(
                f"the target is not empty: {table.name} has {number} rows; use an empty database,"
                " or --verify, if an earlier copy may have been complete"
            )


def copy_rows(source: TableReader, target: TableWriter, tables: Iterable[Table], progress: Progress) -> None:
    """Write all rows of all tables, and the data derived from them."""
    for table in tables:
        target.write_rows(table, _with_progress(table.name, source.read_rows(table), progress))
    target.finish(source.last_keys(), source.sent_marks())


def compare_rows(
    source: TableReader, target: TableReader, tables: Iterable[Table], progress: Progress
) -> list[TableComparison]:
    """Compare two databases row by row."""
    return [_compare(table, source, target, progress) for table in tables]


def _compare(table: Table, source: TableReader, target: TableReader, progress: Progress) -> TableComparison:
    digest, rows, copied, difference = hashlib.blake2b(digest_size=16), 0, 0, None
    source_rows = _with_progress(f"verifying {table.name}", source.read_rows(table), progress)
    for row, other in zip_longest(source_rows, target.read_rows(table)):
        if row is not None:
            rows += 1
            digest.update(msgspec.msgpack.encode(row))
        copied += other is not None
        if row != other and difference is None:
            difference = _difference(table, row, other)
    return TableComparison(table=table.name, rows=rows, copied=copied, digest=digest.hexdigest(), difference=difference)


def _difference(table: Table, row: Row | None, other: Row | None) -> str:
    """Return which row differs and in which columns, without its values."""
    values: Mapping[str, object] = dict(zip(table.columns, row or other or (), strict=True))
    key = ", ".join(f"{name} {values[name]!r}" for name in table.key)
    if other is None:
        return f"{key} is missing in the target"
    if row is None:
        return f"{key} is not in the source"
    names = [name for name, value, other_value in zip(table.columns, row, other, strict=True) if value != other_value]
    if any(name in table.key for name in names):
        return f"{key} is missing in the target, or the target has a row that the source does not have"
    return f"{key} differs in {', '.join(names)}"


def _with_progress(task: str, rows: Iterable[Row], progress: Progress) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        yield row
        if number % PROGRESS_INTERVAL == 0:
            progress(f"{task}: {number:,} rows")
