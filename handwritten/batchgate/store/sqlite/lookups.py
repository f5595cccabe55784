"""Reads of a few rows on the event loop, remembered while the database is unchanged.

A thread's round trip costs more than such a read, which takes 10 to 300 microseconds: in WAL mode readers never wait
for the writer, and the pages are in memory. Callers that wait for batches read the same rows again and again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Hashable
from typing import Final, Protocol, TypeVar, cast

T = TypeVar("T")

SLOW: Final = 0.05
"""Seconds from which a lookup counts as slow."""
PAUSE: Final = 1.0
"""Seconds without lookups after a slow one: so a slow disk delays the event loop at most once a second."""
MAX_REMEMBERED: Final = 256
"""Results that are remembered; each has at most a page of rows."""


class ConnectToRead(Protocol):
    """Opens a connection that only reads."""

    def __call__(self, *, timeout: float) -> sqlite3.Connection:
        """Open a connection that waits at most ``timeout`` seconds for a lock."""
        ...


class Lookups:
    """The connection of the event loop; it waits for no lock."""

    def __init__(self, connect: ConnectToRead) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._paused_until = 0.0
        self._version = -1
        self._state = object()
        self._checked = False
        """Whether the version was checked in this round of the event loop."""
        self._remembered: dict[Hashable, object] = {}

    def are_fast(self) -> bool:
        """Return whether lookups may run: none was slow within the last `PAUSE` seconds."""
        return time.monotonic() >= self._paused_until

    def run(self, key: Hashable, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of work, or of the last work with this key, if nothing was committed since.

        Raises `sqlite3.Error`, also where a reader that waits for a lock would succeed.
        """
        connection = self._checked_connection()
        if key not in self._remembered:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            begun = time.monotonic()
            self._remembered[key] = work(connection)
            self._pause_if_slow(begun)
        return cast("T", self._remembered[key])

    def state(self) -> object:
        """Return the same object as before, if nothing was committed since; raises `sqlite3.Error`."""
        self._checked_connection()
        return self._state

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _checked_connection(self) -> sqlite3.Connection:
        """Return the connection, after all results are forgotten if another connection has committed.

        It is checked once in a round of the event loop: what is answered after a commit is asked for in a later round.
        Results that are read after this are newer.
        """
        if self._connection is None:
            self._connection = self._connect(timeout=0)
        if not self._checked:
            begun = time.monotonic()
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._remembered.clear()
                self._version, self._state = version, object()
            self._checked = True
            asyncio.get_running_loop().call_soon(self._check_again)
            self._pause_if_slow(begun)
        return self._connection

    def _check_again(self) -> None:
        self._checked = False

    def _pause_if_slow(self, begun: float) -> None:
        now = time.monotonic()
        if now - begun > SLOW:
            self._paused_until = now + PAUSE
