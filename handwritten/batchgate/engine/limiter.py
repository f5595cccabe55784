"""How many calls may be under way to one model of one account: grows while they succeed, shrinks when they do not.

Additive growth, multiplicative cuts, at most one cut for the calls of one moment; a Retry-After closes the gate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CUT = 0.7
FLOOR = 1.0


class Limiter:
    """The gate in front of one (account, model)."""

    def __init__(self, cap: int) -> None:
        self._cap = float(cap)
        self._limit = self._cap
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last_cut = float("-inf")
        self._closed_until = float("-inf")
        self._opening: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Calls under way now."""
        return self._in_flight

    @property
    def limit(self) -> float:
        """The most calls that may be under way now."""
        return self._limit

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for a place and hold it; yields the time of entry, which `overloaded` wants to know."""
        if self._waiting or not self._open():
            await self._queue_up()
        else:
            self._in_flight += 1
        try:
            yield _now()
        finally:
            self._in_flight -= 1
            self._admit()

    def succeeded(self) -> None:
        """Learn that a call went well."""
        self._limit = min(self._cap, self._limit + 1.0 / self._limit)

    def overloaded(self, entered: float, retry_after: float | None) -> None:
        """Learn that a call, which entered at a time, was refused for load."""
        if entered > self._last_cut:
            self._last_cut = _now()
            self._limit = max(FLOOR, self._limit * CUT)
        if retry_after is not None:
            self._closed_until = max(self._closed_until, _now() + retry_after)

    def _open(self) -> bool:
        return self._in_flight < int(self._limit) and _now() >= self._closed_until

    async def _queue_up(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._in_flight -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._open():
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                place.set_result(None)
        if self._waiting and self._opening is None and self._closed_until > _now():
            loop = asyncio.get_running_loop()
            self._opening = loop.call_at(self._closed_until, self._reopen)

    def _reopen(self) -> None:
        self._opening = None
        self._admit()


def _now() -> float:
    return asyncio.get_running_loop().time()
