"""How a batch went over time: its results in periods, which are longer the older the batch is.

So a batch that runs for a week has a few hundred periods, and nothing ever has to be merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.model.fail_fast import CalledModel

MINUTE: Final = 60 * MICROSECONDS
PERIODS: Final = ((6 * HOUR, MINUTE), (24 * HOUR, 5 * MINUTE))
"""Until which age of a batch its periods have which length; each age is a multiple of the next length."""
LAST_PERIOD: Final = 30 * MINUTE


class CallFacts(Struct, frozen=True, gc=False):
    """The call that gave a result."""

    duration: int
    """Microseconds."""
    limit: int
    """The calls to its model that could be in flight when it ended, over all workers."""


class CallTotals(Struct, frozen=True, kw_only=True):
    """The calls that gave some results; durations in microseconds."""

    calls: int = 0
    duration: int = 0
    """All of them together."""
    longest: int = 0
    limit: int | None = None
    """The calls to their models that could be in flight at last."""


class PeriodTotals(Struct, frozen=True, kw_only=True):
    """The results of a batch in one period."""

    at: int
    """When it begins, in microseconds since the epoch."""
    succeeded: int
    failed: int
    cost: int
    """Nano-dollars."""
    calls: CallTotals


def total_calls(calls: Iterable[tuple[CalledModel | None, CallFacts]]) -> CallTotals:
    """Add up calls to models; of each model, the latest limit counts."""
    listed = list(calls)
    if not listed:
        return CallTotals()
    durations = [facts.duration for _, facts in listed]
    limits = {called: facts.limit for called, facts in listed}
    return CallTotals(calls=len(listed), duration=sum(durations), longest=max(durations), limit=sum(limits.values()))


def period_length(created_at: int, at: int) -> int:
    """Return the length of the period of a batch that a time is in, in microseconds."""
    return next((length for age, length in PERIODS if at - created_at < age), LAST_PERIOD)


def period_start(created_at: int, at: int) -> int:
    """Return when the period of a batch that a time is in begins."""
    length = period_length(created_at, at)
    return created_at + max(0, at - created_at) // length * length
