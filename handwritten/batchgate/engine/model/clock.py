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


class SystemClock:
    """The system clock."""

    def now(self) -> int:
        """Return the current time in microseconds since the epoch."""
        return time.time_ns() // 1000

    async def sleep_until(self, moment: int) -> None:
        """Sleep until a time in microseconds since the epoch."""
        while True:
            left = moment - self.now()
            if left <= 0:
                return
            await asyncio.sleep(min(left / MICROSECONDS, MAX_SLEEP))
