"""Lookups in a SQLite file: on the event loop, remembered while the database is unchanged, never older than it."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from batchgate.engine.model.errors import StoreError
from batchgate.store.sqlite import lookups
from batchgate.store.sqlite.connection import READERS, SqliteFile


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteFile]:
    opened = SqliteFile(tmp_path / "db")
    opened.start()
    await opened.write(lambda connection: connection.execute("CREATE TABLE t (x INTEGER)").rowcount)
    yield opened
    await opened.close()


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1)")


def count_rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


async def test_a_lookup_sees_every_write_that_was_answered(file: SqliteFile) -> None:
    for number in range(1, 20):
        await file.write(insert)
        assert await file.look_up("rows", count_rows) == number


async def test_a_lookup_sees_the_commit_of_another_process(file: SqliteFile, tmp_path: Path) -> None:
    assert await file.look_up("rows", count_rows) == 0
    with closing(sqlite3.connect(tmp_path / "db")) as other:
        insert(other)
        assert await file.look_up("rows", count_rows) == 0
        other.commit()
    await asyncio.sleep(0)  # a call that knows of the commit arrives in a later round of the event loop
    assert await file.look_up("rows", count_rows) == 1


async def test_an_equal_lookup_is_read_once_until_something_is_committed(file: SqliteFile) -> None:
    read: list[str] = []

    async def look_up(key: str) -> None:
        await file.look_up(key, lambda _: read.append(key))

    for key in "abab":
        await look_up(key)
    assert read == ["a", "b"]
    await file.write(insert)
    await look_up("a")
    assert read == ["a", "b", "a"]


async def test_only_a_bounded_number_of_lookups_is_remembered(file: SqliteFile) -> None:
    read: list[int] = []
    for number in (*range(lookups.MAX_REMEMBERED + 1), 0):
        await file.look_up(number, partial(lambda number, _: read.append(number), number))
    assert read[-1] == 0
    assert len(read) == lookups.MAX_REMEMBERED + 2


async def test_a_lookup_waits_neither_for_the_threads_of_long_reads_nor_for_the_writer(file: SqliteFile) -> None:
    release = threading.Event()
    busy = [asyncio.create_task(file.read(lambda _: release.wait())) for _ in range(READERS)]
    busy.append(asyncio.create_task(file.write(lambda _: release.wait())))
    await asyncio.sleep(0)
    assert await file.look_up("rows", count_rows) == 0
    release.set()
    await asyncio.gather(*busy)


async def test_after_a_slow_lookup_the_next_ones_run_in_threads(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(lookups, "SLOW", -1.0)
    for key in ("first", "second"):
        await file.look_up(key, lambda _: threads.append(threading.current_thread()))
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_a_lookup_that_fails_is_reported_as_every_read_is(file: SqliteFile) -> None:
    with pytest.raises(StoreError, match="no such table: u"):
        await file.look_up("u", lambda connection: connection.execute("SELECT * FROM u").fetchall())
    assert await file.look_up("rows", count_rows) == 0


async def test_a_lookup_after_the_close_is_refused(tmp_path: Path) -> None:
    closed = SqliteFile(tmp_path / "db")
    closed.start()
    await closed.close()
    with pytest.raises(StoreError, match="closed"):
        await closed.look_up("rows", count_rows)
