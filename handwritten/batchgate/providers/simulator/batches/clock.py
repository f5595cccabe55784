"""The clock of the simulated batch APIs: it can run faster than real time, and can be moved forward."""

from __future__ import annotations

import math

from batchgate.engine.model.clock import MICROSECONDS, TimeSource


class SimulatedClock:
    """Seconds since the Unix epoch, from a time source."""

    def __init__(self, source: TimeSource, speed: float = 1.0) -> None:
        self._source = source
        self._speed = speed
        self._base = source.now() / MICROSECONDS
        self._since = source.monotonic()

    def now(self) -> float:
        """Return the simulated time in seconds since the epoch."""
        return self._base + (self._source.monotonic() - self._since) / MICROSECONDS * self._speed

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"the clock moves only forward, not by {seconds} seconds")
        self._base += seconds

    def set_speed(self, speed: float) -> None:
        """Let the clock run that many times as fast as real time from now on."""
        self._base, self._since = self.now(), self._source.monotonic()
        self._speed = speed
