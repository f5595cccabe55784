"""Connections to one PostgreSQL database, and the one place where what psycopg raises becomes a `StoreError`."""

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
from batchgate.engine.support.cancellation import shielded
from batchgate.store.postgres.address import Address
from batchgate.store.queries import load_queries

T = TypeVar("T")

Row: TypeAlias = dict[str, Any]
Bound: TypeAlias = Mapping[str, object]
Connection: TypeAlias = AsyncConnection[Row]

QUERIES: Final = {
    name: text.encode()
    for file in ("queries.sql", "cluster.sql", "tenants.sql")
    for name, text in load_queries("batchgate.store.postgres", file).items()
}
CONNECTIONS: Final = 10
"""The most connections of one process to its database that the store takes."""
PATIENCE: Final = 5.0  # seconds to wait for a connection
TRIES: Final = 8
"""How often a transaction is run that gets into the way of others."""
PAUSE: Final = 0.02  # seconds between two of them, on average


def storable(*texts: str) -> bool:
    """Tell if texts can be stored: PostgreSQL's hold neither a NUL nor half of a surrogate pair."""
    return not any("\0" in text or any("\ud800" <= character <= "\udfff" for character in text) for text in texts)


class Transaction:
    """The statements of one transaction; those that nobody waits for go along with the next that somebody waits for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, query: str, bound: Bound) -> AsyncCursor[Row]:
        """Run a statement whose rows are fetched later, or not at all."""
        return await self._connection.execute(QUERIES[query], bound, binary=True)

    async def rows(self, query: str, bound: Bound) -> list[Row]:
        """Run a statement and wait for its rows."""
        return await (await self.send(query, bound)).fetchall()

    async def one(self, query: str, bound: Bound) -> Row | None:
        """Run a statement and wait for its first row."""
        return await (await self.send(query, bound)).fetchone()


Work: TypeAlias = Callable[[Transaction], Awaitable[T]]
"""What is done in a transaction; what it returns goes back to the caller. It may be done again from its beginning."""


class PostgresPool:
    """Runs statements on pooled connections. Raises `StoreError`; a server that comes back is found again."""

    def __init__(self, address: Address, *, connections: int = CONNECTIONS) -> None:
        self._address = address
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address.conninfo,
            kwargs={"autocommit": True, "row_factory": dict_row, "context": _adapters()},
            configure=_configure,
            min_size=1,
            max_size=connections,
            timeout=PATIENCE,
            reconnect_timeout=PATIENCE,  # pauses between tries double, so this bounds them; the next caller begins anew
            name="batchgate",
            open=False,
        )

    async def open(self) -> None:
        """Connect."""
        try:
            await self._pool.open(wait=True, timeout=PATIENCE)
        except psycopg.Error as error:
            raise self._translated(error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def rows(self, query: str, bound: Bound) -> list[Row]:
        """Run one statement that only reads."""

        async def fetch(connection: Connection) -> list[Row]:
            cursor = await connection.execute(QUERIES[query], bound, binary=True)
            return await cursor.fetchall()

        return await self._persistently(lambda: self._on_connection(fetch))

    async def one(self, query: str, bound: Bound) -> Row | None:
        """Run one statement that only reads, for its first row."""
        rows = await self.rows(query, bound)
        return rows[0] if rows else None

    async def write(self, work: Work[T], *, repeatable: bool = False, durable: bool = True) -> T:
        """Run work in a transaction; it is durable when this returns, and undone as a whole if it raises.

        When the server goes down before the commit, the work is done again. If it may have been committed already, only
        work is that is ``repeatable``: done twice, it leaves and answers the same as done once.
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

        def may_again() -> bool:
            return repeatable or not committing

        return await shielded(self._persistently(lambda: self._on_connection(run), may_again))

    async def _on_connection(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._pool.connection() as connection:
            try:
                return await use(connection)
            except FeatureNotSupported:
                # A newer process has changed the schema: what was prepared before gives no rows any more.
                await connection.close()
                raise
            except psycopg.Error as error:
                if connection.broken or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
                    raise _LostError from error
                raise

    async def _persistently(self, run: Callable[[], Awaitable[T]], may_again: Callable[[], bool] = lambda: True) -> T:
        """Run it until it is through, or fails in a way in which it would fail again."""
        lost = False
        for left in reversed(range(TRIES)):
            try:
                return await run()
            except _LostError as error:
                if lost or not may_again():
                    raise self._translated(error.__cause__) from error.__cause__
                lost = True
                await self._pool.check()
            except (DeadlockDetected, SerializationFailure, FeatureNotSupported) as error:
                if not left:
                    raise self._translated(error) from error
                await asyncio.sleep(random.uniform(0, 2 * PAUSE))
            except psycopg.Error as error:
                raise self._translated(error) from error
        raise StoreError("the database was busy for too long")

    def _translated(self, error: BaseException | None) -> StoreError:
        """Say what went wrong, without the values that the server quotes in its details, and without the password."""
        diagnosis = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        return StoreError(f"the database did not answer as it should: {self._address.hidden(diagnosis or str(error))}")


class _LostError(Exception):
    """The connection broke; its cause says how."""


def _adapters() -> AdaptersMap:
    """Send every integer as one of 64 bits, so that a statement is prepared once and not for each size."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    return adapters


async def _configure(connection: Connection) -> None:
    """Have every commit on the disk before it is answered, and let a process that stands still hold no row for long."""
    await connection.execute(QUERIES["configure"])
