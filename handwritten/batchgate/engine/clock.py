"""Time as the engine sees it: microseconds since the epoch in UTC, from a clock that can be injected."""

from __future__ import annotations

import time
from typing import Protocol

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR


class Clock(Protocol):
    """Tells the time of day."""

    def now(self) -> int:
        """Microseconds since the epoch."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000
