"""How many calls to an account have ended lately, and how many of them the provider refused for load."""

from __future__ import annotations

from collections import deque
from typing import Final

MINUTES: Final = 15


class RecentCalls:
    """Counts calls by minute, for the last `MINUTES`; times are seconds of the event loop's clock."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        self._minutes: deque[list[int]] = deque(maxlen=MINUTES)
        """The minute, its calls and its refused ones."""

    def record(self, now: float, *, refused: bool) -> None:
        """Count a call that has ended."""
        minute = int(now // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append([minute, 0, 0])
        latest = self._minutes[-1]
        latest[1] += 1
        latest[2] += refused

    def counts(self, now: float) -> tuple[int, int]:
        """Return the calls, and those of them that were refused."""
        first = int(now // 60) - MINUTES
        recent = [minute for minute in self._minutes if minute[0] > first]
        return sum(minute[1] for minute in recent), sum(minute[2] for minute in recent)
