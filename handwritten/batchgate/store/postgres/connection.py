"""Pooled connections to one PostgreSQL database; here every psycopg error becomes a `StoreError`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.adapt import AdaptersMap
from psycopg.errors import DeadlockDetected, FeatureNotSupported, SerializationFailure
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg_pool import AsyncConnectionPool

from batchgate.engine.model.errors import StoreError
from batchgate.engine.support.cancellation import cancel_requests, shielded
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.queries import load_queries

T = TypeVar("T")

Row: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, object]
Connection: TypeAlias = AsyncConnection[Row]

_FILES: Final = (
    "queries",
    "migrate",
    "cluster",
    "tenants",
    "scrub",
    "native_jobs",
    "tasks",
    "failures",
    "series",
    "batch_search",
    "retries",
    "steering",
    "webhooks",
    "events",
    "usage",
    "budgets",
    "series",
)
QUERIES: Final = {
    name: text.encode()
    for file in _FILES
    for name, text in load_queries("batchgate.store.postgres", f"{file}.sql").items()
}
MAX_CONNECTIONS: Final = 10
"""Maximum connections that the store of one process opens."""
CONNECTION_TIMEOUT: Final = 5.0  # seconds
LOCK_TIMEOUT = "10s"
"""How long a statement waits for a lock of another session before it fails, as on SQLite."""
MAX_ATTEMPTS: Final = 8
"""How often a transaction is run that conflicts with others."""
ROWS_AT_ONCE: Final = 500
"""Rows of a long list that are converted without a pause, for all lists together; they take a few milliseconds."""
RETRY_DELAY: Final = 0.02  # seconds between two attempts, on average


def is_storable(*values: object) -> bool:
    """Return True if all texts of these values can be stored: PostgreSQL's have neither NUL nor lone surrogates."""
    texts = (value for value in values if isinstance(value, str))
    return not any("\0" in text or any("\ud800" <= character <= "\udfff" for character in text) for text in texts)


class Transaction:
    """Runs the statements of one transaction; one whose result is not awaited is sent together with the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, query: str, params: Params) -> AsyncCursor[Row]:
        """Run a statement; the caller may fetch its rows later, or not at all."""
        return await self._connection.execute(QUERIES[query], params, binary=True)

    async def fetch_all(self, query: str, params: Params) -> list[Row]:
        """Run a statement and return its rows."""
        return await (await self.execute(query, params)).fetchall()

    async def fetch_one(self, query: str, params: Params) -> Row | None:
        """Run a statement and return its first row."""
        return await (await self.execute(query, params)).fetchone()


TransactionWork: TypeAlias = Callable[[Transaction], Awaitable[T]]
"""A function that runs statements in a transaction and returns a result. It may be run again from its beginning."""


class PostgresPool:
    """Runs statements on pooled connections, and reconnects when the server is back. Raises `StoreError`."""

    def __init__(self, address: PostgresAddress, *, connections: int = MAX_CONNECTIONS) -> None:
        self._address = address
        self._converting = asyncio.Lock()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address.conninfo,
            kwargs={"autocommit": True, "row_factory": dict_row, "context": _adapters()},
            configure=_configure,
            min_size=1,
            max_size=connections,
            timeout=CONNECTION_TIMEOUT,
            reconnect_timeout=CONNECTION_TIMEOUT,  # the pause between attempts doubles; this bounds it
            name="batchgate",
            open=False,
        )

    async def open(self) -> None:
        """Connect."""
        try:
            await self._pool.open(wait=True, timeout=CONNECTION_TIMEOUT)
        except psycopg.Error as error:
            raise self._store_error(error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def fetch_all(self, query: str, params: Params) -> list[Row]:
        """Run one statement that only reads, and return its rows."""

        async def fetch(connection: Connection) -> list[Row]:
            cursor = await connection.execute(QUERIES[query], params, binary=True)
            return await cursor.fetchall()

        return await self._with_retries(lambda: self._on_connection(fetch))

    async def fetch_one(self, query: str, params: Params) -> Row | None:
        """Run one statement that only reads, and return its first row."""
        rows = await self.fetch_all(query, params)
        return rows[0] if rows else None

    async def find_all(self, query: str, params: Params) -> list[Row]:
        """Run one statement that only reads; texts that PostgreSQL cannot store match no row."""
        return await self.fetch_all(query, params) if is_storable(*params.values()) else []

    async def find_one(self, query: str, params: Params) -> Row | None:
        """Return the first row of `find_all`."""
        return next(iter(await self.find_all(query, params)), None)

    async def fetch_long(self, query: str, params: Params, convert: Callable[[Row], T]) -> list[T]:
        """Run one statement that only reads, and convert its rows: `ROWS_AT_ONCE` in a round of the event loop."""

        async def fetch(connection: Connection) -> list[T]:
            cursor = await connection.execute(QUERIES[query], params, binary=True)
            found: list[T] = []
            while len(found) < cursor.rowcount:
                async with self._converting:
                    found += map(convert, await cursor.fetchmany(ROWS_AT_ONCE))
                    await asyncio.sleep(0)
            return found

        return await self._with_retries(lambda: self._on_connection(fetch))

    async def write(self, work: TransactionWork[T], *, repeatable: bool = False, durable: bool = True) -> T:
        """Run work in a transaction: durable when this returns, rolled back if it raises.

        If the server goes down before the commit, the work is run again. If the commit may have happened, only
        ``repeatable`` work is run again: work that leaves and returns the same when it is run twice.
        """
        committing = False

        async def run(connection: Connection) -> T:
            nonlocal committing
            committing = False
            async with connection.pipeline(), connection.transaction():
                if not durable:
                    await connection.execute(b"SET LOCAL synchronous_commit = off")
                result = await work(Transaction(connection))
                committing = True
            return result

        def may_retry() -> bool:
            return repeatable or not committing

        return await shielded(self._with_retries(lambda: self._on_connection(run), may_retry))

    async def _on_connection(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        before = cancel_requests()
        async with self._pool.connection() as connection:
            if cancel_requests() > before:  # the pool has swallowed it
                raise asyncio.CancelledError
            try:
                return await use(connection)
            except FeatureNotSupported:
                # A newer process has changed the schema, so the statements prepared on this connection fail.
                await connection.close()
                raise
            except psycopg.Error as error:
                if connection.broken or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
                    raise _ConnectionLostError from error
                raise

    async def _with_retries(self, run: Callable[[], Awaitable[T]], may_retry: Callable[[], bool] = lambda: True) -> T:
        """Run until success, or until an error that a retry would not fix."""
        reconnected = False
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            try:
                return await run()
            except _ConnectionLostError as error:
                if reconnected or not may_retry():
                    raise self._store_error(error.__cause__) from error.__cause__
                reconnected = True
                await self._pool.check()
            except (DeadlockDetected, SerializationFailure, FeatureNotSupported) as error:
                if not attempts_left:
                    raise self._store_error(error) from error
                await asyncio.sleep(random.uniform(0, 2 * RETRY_DELAY))
            except psycopg.Error as error:
                raise self._store_error(error) from error
        raise StoreError("the database was busy for too long")

    def _store_error(self, error: BaseException | None) -> StoreError:
        """Return a `StoreError` without the password and the values that the server quotes in its details."""
        diagnosis = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        return StoreError(f"the database failed: {self._address.redact(diagnosis or str(error))}")


class _ConnectionLostError(Exception):
    """The connection broke; ``__cause__`` is the driver's error."""


def _adapters() -> AdaptersMap:
    """Send every integer with 64 bits, so that a statement is prepared once and not once per integer size."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    return adapters


async def _configure(connection: Connection) -> None:
    """Make every commit durable, and limit how long a paused process keeps rows locked."""
    await connection.execute(QUERIES["configure"], {"lock_timeout": LOCK_TIMEOUT})
