"""Knows when the calls of a run of a shard began."""

from __future__ import annotations

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.pace import CallPeriod


class CallTimer:
    """The period of the calls of one run, from the first one, or the first one after a pause."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: int | None = None

    def start(self) -> None:
        """Begin the period, if it has not begun."""
        if self._since is None:
            self._since = self._clock.now()

    def reset(self) -> None:
        """Let the period begin with the next call."""
        self._since = None

    @property
    def period(self) -> CallPeriod | None:
        """The period until now; None before the first call."""
        return None if self._since is None else CallPeriod(since=self._since, until=self._clock.now())
