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
        begun = time.monotonic()
        if self._connection is None:
            self._connection = self._connect(timeout=0)
        if not self._checked:  # what is answered after a commit is asked for in a later round
            self._forget_if_changed(self._connection)
            self._checked = True
            asyncio.get_running_loop().call_soon(self._check_again)
        if key not in self._remembered:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = work(self._connection)
        if time.monotonic() - begun > SLOW:
            self._paused_until = time.monotonic() + PAUSE
        return cast("T", self._remembered[key])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _check_again(self) -> None:
        self._checked = False

    def _forget_if_changed(self, connection: sqlite3.Connection) -> None:
        """Forget all results if another connection has committed; results that are read after this are newer."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._remembered.clear()
            self._version = version
