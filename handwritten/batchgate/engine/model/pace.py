"""The pace of a batch: how many requests its direct calls finish in a second, by what they finished so far.

The store keeps it in the row of the batch, so every gateway knows it, whichever worker runs the batch.
"""

from __future__ import annotations

from math import exp, expm1
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS

SHORT: Final = 20.0
"""Seconds. After a change of the pace, an average over it is within 10% of the truth in a minute."""
LONG: Final = 200.0
"""Seconds; for batches that finish too few requests in the short time."""
ENOUGH: Final = 30
"""Requests that must be expected within a time before the average over that time is used."""


class CallPeriod(Struct, frozen=True, kw_only=True):
    """The time of the calls that gave some results, in microseconds since the epoch."""

    since: int
    """When the first call of the run began."""
    until: int


class Pace(Struct, frozen=True, array_like=True):
    """What direct calls have finished since they began or were resumed; times are microseconds since the epoch.

    Calls that began together also end together, so results come in lumps: a lump counts as if its results had come one
    after another since the lump before.
    """

    since: int
    """When the first of the calls began."""
    before: int
    """When the lump before the last one ended."""
    start: int
    """When the last lump began."""
    at: int
    """When results were counted last."""
    finished: int
    recent: float
    """The same requests, each weighted by its age: e^(-age / `SHORT`)."""
    lately: float
    """Likewise, with `LONG`."""

    @property
    def gap(self) -> int:
        """The time between the last two lumps; the next one is not expected sooner."""
        return self.start - self.before

    def known_at(self, now: int) -> int:
        """Return the time for which the pace is known."""
        return max(self.at, now - self.gap)

    def seconds(self, now: int) -> float:
        """Return the seconds since the first call."""
        return max(1, now - self.since) / MICROSECONDS

    def average(self, now: int) -> float:
        """Return the requests a second since the first call."""
        return self.finished / self.seconds(now)

    def short(self, now: int) -> float:
        """Return the requests a second in about the last `SHORT` seconds."""
        return self._rate(self.recent, SHORT, now)

    def long(self, now: int) -> float:
        """Return the requests a second in about the last `LONG` seconds."""
        return self._rate(self.lately, LONG, now)

    def _rate(self, weighted: float, horizon: float, now: int) -> float:
        """Divide by the weights of all seconds since the first call."""
        return weighted * exp(-_seconds(self.at, now) / horizon) / _weight(self.seconds(now), horizon)


def pace_after(pace: Pace | None, finished: int, calls: CallPeriod) -> Pace:
    """Return the pace after calls have finished more requests."""
    old = pace or Pace(calls.since, calls.since, calls.since, calls.since, 0, 0.0, 0.0)
    at = max(old.at, calls.until)
    in_lump = pace is not None and at - old.start < max(MICROSECONDS, old.gap // 4)
    before, start = (old.before, old.start) if in_lump else (old.at, at)
    aged, spread = _seconds(old.at, at), _seconds(before, at)
    return Pace(
        old.since,
        before,
        start,
        at,
        old.finished + finished,
        old.recent * exp(-aged / SHORT) + finished * _mean_weight(spread, SHORT),
        old.lately * exp(-aged / LONG) + finished * _mean_weight(spread, LONG),
    )


def _mean_weight(seconds: float, horizon: float) -> float:
    """Return the average weight in the last seconds."""
    return _weight(seconds, horizon) / seconds if seconds else 1.0


def _weight(seconds: float, horizon: float) -> float:
    """Return the weight of the last seconds together."""
    return -expm1(-seconds / horizon) * horizon


def _seconds(start: int, end: int) -> float:
    return max(0, end - start) / MICROSECONDS
