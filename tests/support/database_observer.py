"""Observes a PostgreSQL database from outside of the code under test, and can hold locks on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it

_LOCK_WAITERS = """
SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@dataclass
class DatabaseObserver:
    """A connection that reads a database, holds locks and receives notifications."""

    connection: psycopg.Connection[dict[str, Any]]

    def rows(self, query: str, **bound: object) -> list[dict[str, Any]]:
        """Read rows."""
        return self.connection.execute(query.encode(), bound).fetchall()

    def value(self, query: str, **bound: object) -> Any:
        """Read one value."""
        (row,) = self.rows(query, **bound)
        (value,) = row.values()
        return value

    @contextmanager
    def holding_locks(self, query: str, **bound: object) -> Iterator[None]:
        """Hold the locks of a query in a transaction that is rolled back at the end."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(query.encode(), bound)
            yield

    async def wait_for_value(self, query: str, expected: object, **bound: object) -> None:
        """Wait until a query returns a value."""
        deadline = time.monotonic() + TIMEOUT
        while (found := self.value(query, **bound)) != expected:
            assert time.monotonic() < deadline, f"{query}: {found}, not {expected}"
            await asyncio.sleep(0.01)

    async def wait_for_lock_waiters(self, number: int) -> None:
        """Wait until this number of connections wait for locks."""
        await self.wait_for_value(_LOCK_WAITERS, number)

    def listen(self) -> None:
        """Receive notifications from now on."""
        self.connection.execute("LISTEN batchgate")

    def received_events(self) -> list[tuple[str, int]]:
        """Return the notifications received since, as events with the keys of their batches."""
        payloads = [msgspec.json.decode(notification.payload) for notification in self.connection.notifies(timeout=0.2)]
        return [(notification["event"], notification["batch"]) for notification in payloads]
