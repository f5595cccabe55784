"""Which connections wait for their client, so that a full server can close the one that has waited longest."""

from __future__ import annotations

from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class WaitingConnections(Generic[Connection]):
    """Connections without a request: those whose client has sent none yet, and those that are kept alive."""

    def __init__(self) -> None:
        # A dict keeps the order in which connections began to wait.
        self._new: dict[Connection, None] = {}
        self._kept_alive: dict[Connection, None] = {}

    def add(self, connection: Connection, *, has_served: bool) -> None:
        """Add a connection that waits from now on; ``has_served`` says if it has had a request before."""
        self.remove(connection)
        (self._kept_alive if has_served else self._new)[connection] = None

    def remove(self, connection: Connection) -> None:
        """Remove a connection, if it waits."""
        self._new.pop(connection, None)
        self._kept_alive.pop(connection, None)

    def longest(self, *, besides: Connection) -> Connection | None:
        """Return the connection that has waited longest; those that never sent a request come first."""
        for group in (self._new, self._kept_alive):
            for connection in group:
                if connection is not besides:
                    return connection
        return None
