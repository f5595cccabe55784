"""Time as the engine sees it: microseconds since the epoch in UTC, from a clock that can be injected."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR


MAX_SLEEP = 60.0
"""Seconds after which the clock of the machine is looked at again: it may have been set."""


class Clock(Protocol):
    """Tells the time of day, and wakes those who wait for one."""

    def now(self) -> int:
        """Microseconds since the epoch."""
        ...

    async def sleep_until(self, moment: int) -> None:
        """Wait until it is that time, in microseconds since the epoch."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    async def sleep_until(self, moment: int) -> None:
        """Wait until it is that time, in microseconds since the epoch."""
        while True:
            left = moment - self.now()
            if left <= 0:
                return
            await asyncio.sleep(min(left / MICROSECONDS, MAX_SLEEP))
