"""Heartbeat timing: when a process that sends none is considered dead, and which processes may decide that.

All times are fractions of one setting, ``worker_heartbeat_timeout``: the time within which other processes have taken
over the work of a dead one. A process beats six times in it and is considered dead after 70 % of it; the rest is left
for the other processes to notice. A process that cannot reach the database stops sending requests after 60 %, before
the others consider it dead.
"""

from __future__ import annotations

from math import inf
from typing import Final

BEATS_PER_TIMEOUT: Final = 6
DEAD_AFTER: Final = 0.7
SELF_EVICT_AFTER: Final = 0.6
STEADY_BEATS: Final = 2
"""The number of beats that a process must have sent in time before it evicts others.

After an outage of the database all heartbeats are old: the first process to reconnect must not evict all others.
"""


class Heartbeats:
    """The heartbeats of one process; times are those of the event loop, in seconds."""

    def __init__(self, timeout: float) -> None:
        self.interval = timeout / BEATS_PER_TIMEOUT
        """Seconds between two beats."""
        self.dead_after = timeout * DEAD_AFTER
        """Seconds without a beat after which a process is considered dead."""
        self.self_evict_after = timeout * SELF_EVICT_AFTER
        """Seconds without a beat after which a process must stop using its share of the limits."""
        self._last = -inf
        self._steady_since = inf

    def record_beat(self, now: float) -> None:
        """Record that a beat has reached the database."""
        if now - self._last > STEADY_BEATS * self.interval:
            self._steady_since = now
        self._last = now

    def may_evict(self, now: float) -> bool:
        """Check that this process has sent its beats in time for long enough to evict others."""
        return now - self._steady_since >= (STEADY_BEATS - 0.5) * self.interval
