"""A connection that looks at a PostgreSQL database from outside of what is tested, and can stand in its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

WITHIN = 20.0  # seconds

_WAITING = """
SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@dataclass
class Watch:
    """Looks at a database."""

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
    def holding(self, query: str, **bound: object) -> Iterator[None]:
        """Keep locks in a transaction that is undone."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(query.encode(), bound)
            yield

    async def until(self, query: str, wanted: object, **bound: object) -> None:
        """Wait until a query has a value."""
        deadline = time.monotonic() + WITHIN
        while (found := self.value(query, **bound)) != wanted:
            assert time.monotonic() < deadline, f"{query}: {found}, not {wanted}"
            await asyncio.sleep(0.01)

    async def until_waiting(self, number: int) -> None:
        """Wait until so many connections wait for locks."""
        await self.until(_WAITING, number)

    def listen(self) -> None:
        """Hear from now on what is told."""
        self.connection.execute("LISTEN batchgate")

    def heard(self) -> list[tuple[str, int]]:
        """Read what has been told since, as events and the keys of batches."""
        told = [msgspec.json.decode(note.payload) for note in self.connection.notifies(timeout=0.2)]
        return [(note["event"], note["batch"]) for note in told]
