"""Shares of the account limits: how several workers divide each limit without exceeding it.

A share is an interval within [0, 1], and the shares of the workers never overlap. From a limit, a worker gets the whole
numbers that lie in its interval. So the workers' parts never add up to more than the limit, and exactly to the limit if
the shares cover [0, 1]. When the number of workers changes, a worker first shrinks to its fair share. Only then do
other workers take what became free, so shares do not overlap during the change either.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Final

from msgspec import Struct

_ROUNDING: Final = 1e-9


class LimitShare(Struct, frozen=True):
    """The interval [begin, end) of the account limits that one worker may use."""

    begin: float
    end: float

    @property
    def width(self) -> float:
        """The fraction of the limits."""
        return self.end - self.begin

    def of(self, limit: int) -> int:
        """Return the part of a limit that belongs to this share."""
        return floor(limit * self.end + _ROUNDING) - floor(limit * self.begin + _ROUNDING)

    def intersection(self, other: LimitShare) -> LimitShare:
        """Return the part that belongs to both shares."""
        begin, end = max(self.begin, other.begin), min(self.end, other.end)
        return LimitShare(begin, end) if begin < end else NO_SHARE


NO_SHARE: Final = LimitShare(0.0, 0.0)
FULL_SHARE: Final = LimitShare(0.0, 1.0)


def fair_share(rank: int, workers: int) -> LimitShare:
    """Return the share that the worker with this rank (from 0) finally gets among ``workers`` workers."""
    return LimitShare(rank / workers, (rank + 1) / workers)


def next_share(held: LimitShare, fair: LimitShare, others: Sequence[LimitShare]) -> LimitShare:
    """Return the next share of a worker: shrink to the fair share first, then grow into what other workers left."""
    kept = held.intersection(fair)
    if kept != held:
        return kept
    taken = sorted((other.intersection(fair) for other in others), key=lambda share: share.begin)
    gaps, begin = [], fair.begin
    for other in taken:
        if other.width:
            gaps.append(LimitShare(begin, max(begin, other.begin)))
            begin = max(begin, other.end)
    gaps.append(LimitShare(begin, fair.end))
    around = [gap for gap in gaps if held.width and gap.begin <= held.begin and held.end <= gap.end]
    found = max(around or gaps, key=lambda gap: gap.width)
    return found if found.width else NO_SHARE
