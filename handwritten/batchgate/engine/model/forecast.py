"""When a batch will have ended, what will be missing at its expiry, and what it will have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.native_job import ACTIVE_STATES, NativeJob
from batchgate.engine.model.pace import ENOUGH, LONG, SHORT, Pace

FARTHEST: Final = 366 * 24 * 3600.0
"""Seconds beyond which no end is predicted."""
SHORTEST: Final = 1.0
"""Seconds of calls from which a pace is taken."""
LEAST_ERROR: Final = 0.05
MOST_ERROR: Final = 0.8
"""The bounds of the error that is assumed for a rate."""

ForecastBasis: TypeAlias = Literal["calls", "jobs", "calls_and_jobs"]
"""What the end of a batch depends on: the pace of its direct calls, or the time that providers take for its jobs."""


class Forecast(Struct, frozen=True, kw_only=True):
    """What is expected of a running batch; times are microseconds since the epoch, and None is not known."""

    basis: ForecastBasis
    requests_per_second: float
    """What its direct calls finish now; 0 while all of its open requests are in jobs."""
    ends_at: int | None
    earliest: int | None
    latest: int | None
    missed: int | None
    """Requests that will have no result at the expiry."""
    cost: int | None
    """What the whole batch will have cost, in nano-dollars; None if no price is known."""


class _Rate(Struct, frozen=True):
    """Requests a second, with bounds."""

    expected: float
    low: float
    high: float


class _End(Struct, frozen=True):
    ends_at: int | None
    earliest: int | None
    latest: int | None


def forecast(batch: Batch, jobs: Sequence[NativeJob], windows: Mapping[str, int], now: int) -> Forecast | None:
    """Return what is expected of a batch; None if it sends nothing, or nothing is known yet.

    ``windows`` are the seconds in which the provider of each account promises to end a job.
    """
    if batch.status != "in_progress" or batch.pause is not None:
        return None
    active = [job for job in jobs if job.state in ACTIVE_STATES]
    in_jobs = sum(job.requests - job.answered for job in active)
    open_calls = max(0, batch.counts.processing - in_jobs)
    pace = batch.pace if open_calls else None
    if pace is not None and pace.seconds(now) < SHORTEST:
        pace = None
    if pace is None and not active:
        return None
    then = now if pace is None else pace.known_at(now)
    rate = _Rate(0.0, 0.0, 0.0) if pace is None else _rate(pace, then)
    calls = _end_of_calls(open_calls, rate, then)
    end = _later(calls, _end_of_jobs(active, windows, batch.expires_at, now)) if active else calls
    return Forecast(
        basis="calls" if not active else "calls_and_jobs" if open_calls else "jobs",
        requests_per_second=rate.expected,
        ends_at=end.ends_at,
        earliest=end.earliest,
        latest=end.latest,
        missed=0 if not open_calls else None if pace is None else _missed(open_calls, rate, batch.expires_at, then),
        cost=projected_cost(batch),
    )


def projected_cost(batch: Batch) -> int | None:
    """Return what a batch will have cost if the other requests cost what those with a result did, on average."""
    counts, spend = batch.counts, batch.spend
    called = counts.succeeded + counts.errored - batch.reused
    priced = called - spend.unpriced
    if not spend.is_known or priced <= 0:
        return None
    return spend.total + spend.total * counts.processing // priced


def _rate(pace: Pace, now: int) -> _Rate:
    """Choose the shortest time in which enough requests are expected; a longer one than that widens the bounds."""
    average = pace.average(now)
    rates, horizon = [average], pace.seconds(now)
    if average * SHORT >= ENOUGH:
        rates, horizon = [pace.short(now), pace.long(now)], SHORT
    elif average * LONG >= ENOUGH:
        rates, horizon = [pace.long(now)], LONG
    counted = max(1.0, rates[0] * min(horizon, pace.seconds(now)))
    error = min(MOST_ERROR, max(LEAST_ERROR, 2 / sqrt(counted)))
    return _Rate(rates[0], min(rates) * (1 - error), max(rates) * (1 + error))


def _end_of_calls(requests: int, rate: _Rate, now: int) -> _End:
    return _End(_after(requests, rate.expected, now), _after(requests, rate.high, now), _after(requests, rate.low, now))


def _after(requests: int, rate: float, now: int) -> int | None:
    """Return when so many requests will be finished; None if that is too far away."""
    if requests == 0:
        return now
    if rate * FARTHEST < requests:
        return None
    return now + ceil(requests / rate * MICROSECONDS)


def _end_of_jobs(jobs: Sequence[NativeJob], windows: Mapping[str, int], expires_at: int, now: int) -> _End:
    """Return the end of jobs: any time until their windows are over, or they are taken back before the expiry."""
    ends = [expires_at]
    if all(job.account in windows for job in jobs):
        starts = ((job.account, now if job.submitted_at is None else job.submitted_at) for job in jobs)
        ends = [start + windows[account] * MICROSECONDS for account, start in starts]
    latest = max(now, min(max(ends), expires_at))
    return _End(latest, now, latest)


def _later(first: _End, second: _End) -> _End:
    """Return the end of what ends when both have ended; unknown if either is."""
    pairs = ((first.ends_at, second.ends_at), (first.earliest, second.earliest), (first.latest, second.latest))
    return _End(*(None if one is None or other is None else max(one, other) for one, other in pairs))


def _missed(requests: int, rate: _Rate, expires_at: int, now: int) -> int:
    left = max(0, expires_at - now) / MICROSECONDS
    return max(0, ceil(requests - rate.expected * left))
