"""One SQLite file: a writer thread commits the work of many callers together, and reader threads run queries."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from batchgate.engine.model.errors import StoreError
from batchgate.store.sqlite.lookups import Lookups

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
"""A function that runs statements on a connection and returns a result."""

GROUP_SIZE = 256
"""Maximum callers whose work is committed together."""
BUSY_TIMEOUT = 5.0  # seconds
READERS = 2


class _PendingWrite:
    """The work of one caller, and the future that gets its result."""

    def __init__(self, work: Work[object], future: asyncio.Future[object]) -> None:
        self.work = work
        self.future = future
        self.result: object = None
        self.error: BaseException | None = None

    def fail(self, error: StoreError, cause: sqlite3.Error) -> None:
        """Set the error that the caller gets instead of a result."""
        error.__cause__ = cause
        self.error = error

    def resolve(self) -> None:
        """Resolve the future; runs on the caller's event loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteFile:
    """Runs work on a SQLite file without blocking the event loop. Raises `StoreError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: queue.SimpleQueue[_PendingWrite | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-read")
        self._long_reads = asyncio.Semaphore(READERS - 1)
        self._reader_connections: list[sqlite3.Connection] = []
        self._lookups = Lookups(self.connect_to_read)
        self._writer: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Start the writer thread."""
        self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._write_forever, name="sqlite-write")
        self._writer.start()

    async def close(self) -> None:
        """Finish the queued work, stop the threads and close the file."""
        self._closed = True
        self._pending.put(None)
        if self._writer is not None:
            await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._reader_connections:
            connection.close()
        self._lookups.close()

    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction: durable when this returns, rolled back if it raises."""
        if self._closed:
            raise StoreError("the database is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        self._pending.put(_PendingWrite(work, future))
        return await future  # type: ignore[return-value]

    async def read(self, work: Work[T]) -> T:
        """Run work that only reads."""
        if self._closed:
            raise StoreError("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def read_long(self, work: Work[T]) -> T:
        """Run work that reads a long list; one of the readers' threads is left to all other reads."""
        async with self._long_reads:
            return await self.read(work)

    async def look_up(self, key: Hashable, work: Work[T]) -> T:
        """Run work that reads a few rows by an index; ``key`` names what it reads. See `Lookups`."""
        if not self._closed and self._lookups.are_fast():
            try:
                return self._lookups.run(key, work)
            except sqlite3.Error:
                pass  # a thread can wait for a lock, and reports the error
        return await self.read(work)

    def state(self) -> object | None:
        """Return the same object as before if nothing was committed since; None if lookups cannot tell."""
        if self._closed or not self._lookups.are_fast():
            return None
        try:
            return self._lookups.state()
        except sqlite3.Error:
            return None

    def connect(self, *, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
        """Open a connection in WAL mode; every commit is synced to the disk before it returns."""
        connection = sqlite3.connect(self._path, timeout=timeout, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def connect_to_read(self, *, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
        """Open a connection that cannot write, and waits at most ``timeout`` seconds for a lock."""
        connection = self.connect(timeout=timeout)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _reader(self) -> sqlite3.Connection:
        """Return this thread's connection, opened at its first use; a failed open is tried again at the next use."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self.connect_to_read()
            self._local.connection = connection
            self._reader_connections.append(connection)
        return connection

    def _read(self, work: Work[T]) -> T:
        try:
            return work(self._reader())
        except sqlite3.Error as error:
            raise StoreError(f"the database could not be read: {error}") from error

    def _write_forever(self) -> None:
        connection: sqlite3.Connection | None = None
        while group := self._next_group():
            try:
                connection = connection or self.connect()
                _commit_group(connection, group)
            except sqlite3.Error as error:
                for pending in group:
                    pending.fail(StoreError(f"the database could not be written: {error}"), error)
                _close(connection)
                connection = None
            self._loop.call_soon_threadsafe(_resolve_all, group)
        _close(connection)

    def _next_group(self) -> list[_PendingWrite]:
        first = self._pending.get()
        group: list[_PendingWrite] = []
        while first is not None:
            group.append(first)
            try:
                first = self._pending.get_nowait() if len(group) < GROUP_SIZE else None
            except queue.Empty:
                return group
            if first is None and len(group) < GROUP_SIZE:
                self._pending.put(None)
        return group


def _close(connection: sqlite3.Connection | None) -> None:
    """Close a connection, if there is one."""
    if connection is not None:
        connection.close()


def _commit_group(connection: sqlite3.Connection, group: list[_PendingWrite]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for pending in group:
            _run_work(connection, pending)
        connection.execute("COMMIT")
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _run_work(connection: sqlite3.Connection, pending: _PendingWrite) -> None:
    """Run one caller's work under a savepoint, so that its failure does not undo the work of others."""
    connection.execute("SAVEPOINT work")
    try:
        pending.result = pending.work(connection)
    except sqlite3.Error as error:
        pending.fail(StoreError(f"the database refused a statement: {error}"), error)
    except Exception as error:  # noqa: BLE001 - raised at the caller; this thread goes on for the others
        pending.error = error
    if pending.error is not None and connection.in_transaction:
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _resolve_all(group: list[_PendingWrite]) -> None:
    for pending in group:
        pending.resolve()
