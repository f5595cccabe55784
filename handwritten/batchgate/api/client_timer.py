"""What a connection waits for from its client, and since when: pure state, times in seconds of any clock."""

from __future__ import annotations

from typing import Literal, TypeAlias

from batchgate.api.http_limits import HttpLimits

Overdue: TypeAlias = Literal["head", "next request", "reading"]
"""What did not come in time: the whole head of a request, another request, or that the client reads."""


class ClientTimer:
    """The times of one connection, which begins with waiting for the head of a request."""

    def __init__(self, limits: HttpLimits, now: float) -> None:
        self._limits = limits
        self._awaited: Literal["head", "next request"] | None = "head"
        self._since = now
        self._unsent = 0
        self._read_at = now

    def received(self, now: float) -> None:
        """Note bytes that complete no head: perhaps they begin one."""
        if self._awaited == "next request":
            self._awaited, self._since = "head", now

    def began(self) -> None:
        """Note a complete head: from now on the server is to act."""
        self._awaited = None

    def ended(self, now: float) -> None:
        """Note the end of a response, after which the client may send another request."""
        self._awaited, self._since = "next request", now

    def read(self, now: float) -> None:
        """Note that the client has read."""
        self._read_at = now

    def overdue(self, now: float, unsent: int) -> Overdue | None:
        """Return what did not come in time, if anything; ``unsent`` are the bytes that wait for the client to read."""
        if not unsent or unsent != self._unsent:
            self._unsent, self._read_at = unsent, now
        # Twice, because a download ends itself by the same limit, and says so.
        if now - self._read_at > 2 * self._limits.download_stall_timeout:
            return "reading"
        limit = self._limits.head_timeout if self._awaited == "head" else self._limits.keep_alive_timeout
        return self._awaited if self._awaited is not None and now - self._since > limit else None
