"""When a process that is not seen any more is taken for dead, and who may say so.

All of it follows from one number, the time within which somebody else has the work of a process that died: it is seen
six times in that time, is declared dead after seven tenths of it, and the others look for the dead in what is left.
"""

from __future__ import annotations

from math import inf
from typing import Final

BEATS_PER_TIMEOUT: Final = 6
DEAD_AFTER: Final = 0.7
SELF_EVICT_AFTER: Final = 0.6
"""The part of the time for which a process that reaches nobody may still think that it lives."""
STEADY_BEATS: Final = 2
"""Beats for which a process has to be in touch before it declares others dead: after an outage of the database nobody
has been seen for long, and the first to find it again must not take all others for dead."""


class Heartbeats:
    """The heartbeats of one process; times are those of the event loop, in seconds."""

    def __init__(self, timeout: float) -> None:
        self.interval = timeout / BEATS_PER_TIMEOUT
        """Between two beats."""
        self.dead_after = timeout * DEAD_AFTER
        self.self_evict_after = timeout * SELF_EVICT_AFTER
        self._last = -inf
        self._in_touch_since = inf

    def record_beat(self, now: float) -> None:
        """Learn that a beat has reached the database."""
        if now - self._last > STEADY_BEATS * self.interval:
            self._in_touch_since = now
        self._last = now

    def may_evict(self, now: float) -> bool:
        """Tell if this process has been in touch for long enough to say who is dead."""
        return now - self._in_touch_since >= (STEADY_BEATS - 0.5) * self.interval
