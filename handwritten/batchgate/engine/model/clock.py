"""The clock of the engine: microseconds since the Unix epoch, from an object that tests can replace."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR

MAX_SLEEP = 60.0
"""Seconds after which a sleep reads the system clock again, since it may have been set meanwhile."""


class Clock(Protocol):
    """Returns the current time, and sleeps until a given time."""

    def now(self) -> int:
        """Return the current time in microseconds since the epoch."""
        ...

    async def sleep_until(self, moment: int) -> None:
        """Sleep until a time in microseconds since the epoch."""
        ...


class ExpiryClock(Clock, Protocol):
    """A clock that says whether what has a time may expire, be archived or be deleted by it."""

    @property
    def problem(self) -> str | None:
        """Why the time is in doubt, as a sentence; None while it is not."""
        ...

    def has_passed(self, moment: int) -> bool:
        """Return whether a time has passed for certain; False while the time is in doubt."""
        ...


class TimeSource(Protocol):
    """Where a clock gets the time from: a wall clock, which may be set, and a monotonic one, which may not."""

    def now(self) -> int:
        """Return the time of the wall clock in microseconds since the epoch."""
        ...

    def monotonic(self) -> int:
        """Return the time of the monotonic clock in microseconds since some moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep, by the monotonic clock."""
        ...


class SystemClock:
    """The system clock."""

    def now(self) -> int:
        """Return the current time in microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        """Return the time of the monotonic clock in microseconds."""
        return time.monotonic_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        """Sleep, by the monotonic clock."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, moment: int) -> None:
        """Sleep until a time in microseconds since the epoch."""
        while True:
            left = moment - self.now()
            if left <= 0:
                return
            await asyncio.sleep(min(left / MICROSECONDS, MAX_SLEEP))
