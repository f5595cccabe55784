"""Errors of a SQLite file with one writer thread and several readers."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batchgate.engine.model.errors import StoreError
from batchgate.store.sqlite import SqliteStore
from batchgate.store.sqlite.connection import SqliteFile


@asynccontextmanager
async def opened_file(path: Path) -> AsyncIterator[SqliteFile]:
    file = SqliteFile(path)
    file.start()
    try:
        yield file
    finally:
        await file.close()


def create_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (x INTEGER)")


def count_rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


async def test_an_unexpected_exception_fails_only_the_call_that_caused_it(tmp_path: Path) -> None:
    # An integer over 64 bits raises OverflowError, which is not a sqlite3.Error. Once, it ended the only writer thread,
    # and every later write waited forever while the gateway appeared healthy.
    async with opened_file(tmp_path / "db") as file:
        await file.write(create_table)
        with pytest.raises(OverflowError):
            await file.write(lambda connection: connection.execute("INSERT INTO t VALUES (?)", (2**64,)).rowcount)
        await file.write(lambda connection: connection.execute("INSERT INTO t VALUES (1)").rowcount)
        assert await file.read(count_rows) == 1


async def test_a_file_that_cannot_be_opened_fails_each_call_until_it_can_be_opened(tmp_path: Path) -> None:
    # Once, a failed connect ended the writer thread and broke the pool of readers permanently.
    path = tmp_path / "db"
    path.mkdir()
    async with opened_file(path) as file:
        for _ in range(3):
            with pytest.raises(StoreError):
                await file.write(create_table)
            with pytest.raises(StoreError):
                await file.read(count_rows)
        path.rmdir()
        await file.write(create_table)
        assert await file.read(count_rows) == 0


async def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_text("This is a text of a good length, which no database begins with." * 100)
    async with opened_file(path) as file:
        with pytest.raises(StoreError, match="not a database"):
            await file.write(create_table)


async def test_a_call_after_the_close_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    async with opened_file(tmp_path / "db") as file:
        await file.write(create_table)
    with pytest.raises(StoreError, match="closed"):
        await file.write(create_table)
    with pytest.raises(StoreError, match="closed"):
        await file.read(count_rows)


async def test_a_database_with_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    async with SqliteStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        async with SqliteStore(path):
            pass
