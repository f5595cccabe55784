"""A pool of idle connections."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

from batchgate.providers.transport.http_connection import HttpConnection
from batchgate.providers.transport.http_request import Origin


class IdleConnections:
    """Keeps idle connections by origin for ``idle_timeout`` seconds.

    The most recently used connection is reused first, so that surplus connections expire.
    """

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout: Final = idle_timeout
        self._loop: Final = asyncio.get_running_loop()
        self._idle_since: Final[defaultdict[Origin, dict[HttpConnection, float]]] = defaultdict(dict)
        """The event loop's time since which each connection is idle, oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> HttpConnection | None:
        """Remove and return an open connection to ``origin``, if there is one."""
        idle = self._idle_since[origin]
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        return None

    def put(self, connection: HttpConnection) -> None:
        """Add a connection, until it is taken or expires."""
        now = self._loop.time()
        self._idle_since[connection.origin][connection] = now
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._idle_timeout, self._close_expired)

    def discard(self, connection: HttpConnection) -> None:
        """Remove a closed connection, if it is in the pool."""
        self._idle_since[connection.origin].pop(connection, None)

    def stop(self) -> None:
        """Cancel the timer of the expiry."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_expired(self) -> None:
        """Close expired connections, and set the timer for the next one."""
        due = self._loop.time() - self._idle_timeout
        for idle in self._idle_since.values():
            for connection in [connection for connection, since in idle.items() if since <= due]:
                del idle[connection]
                connection.close()
        oldest = min((next(iter(idle.values())) for idle in self._idle_since.values() if idle), default=None)
        self._timer = None if oldest is None else self._loop.call_at(oldest + self._idle_timeout, self._close_expired)
