"""Connections that no call uses at the moment."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

from batchgate.providers.transport.http_connection import HttpConnection
from batchgate.providers.transport.http_request import Origin


class IdleConnections:
    """Keeps connections by origin for ``idle_timeout`` seconds; the one used last is used next, so that a surplus ages."""

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout: Final = idle_timeout
        self._loop: Final = asyncio.get_running_loop()
        self._idle_since: Final[defaultdict[Origin, dict[HttpConnection, float]]] = defaultdict(dict)
        """Since when each is idle by the loop's time, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> HttpConnection | None:
        """Take one out that is open."""
        idle = self._idle_since[origin]
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        return None

    def put(self, connection: HttpConnection) -> None:
        """Keep one until it is taken or has been here for too long."""
        now = self._loop.time()
        self._idle_since[connection.origin][connection] = now
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._idle_timeout, self._close_expired)

    def discard(self, connection: HttpConnection) -> None:
        """Forget one that is closed, if it is here."""
        self._idle_since[connection.origin].pop(connection, None)

    def stop(self) -> None:
        """Watch the time no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_expired(self) -> None:
        """Close what has been here too long, and come back for the next."""
        due = self._loop.time() - self._idle_timeout
        for idle in self._idle_since.values():
            for connection in [connection for connection, since in idle.items() if since <= due]:
                del idle[connection]
                connection.close()
        oldest = min((next(iter(idle.values())) for idle in self._idle_since.values() if idle), default=None)
        self._timer = None if oldest is None else self._loop.call_at(oldest + self._idle_timeout, self._close_expired)
