"""How several workers share what the accounts allow: each has a part of the whole, and no two parts overlap.

A part is an interval between 0 and 1. Of a limit it gives the whole numbers that lie in it, so that the parts of a
limit never add up to more than the limit, however it divides, and none of it is lost when all parts together are the
whole. A worker that comes takes what is free; one that has too much lets go of it first, and whoever has it in their
fair part takes it then. So nothing is ever in two hands, also while they move.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Final

from msgspec import Struct

_ROUNDING: Final = 1e-9


class LimitShare(Struct, frozen=True):
    """The part from one point to another of all that may be done."""

    begin: float
    end: float

    @property
    def width(self) -> float:
        """How much of the whole it is."""
        return self.end - self.begin

    def of(self, limit: int) -> int:
        """Tell how many of so many belong to it."""
        return floor(limit * self.end + _ROUNDING) - floor(limit * self.begin + _ROUNDING)

    def intersection(self, other: LimitShare) -> LimitShare:
        """Cut out what belongs to another one as well."""
        begin, end = max(self.begin, other.begin), min(self.end, other.end)
        return LimitShare(begin, end) if begin < end else NO_SHARE


NO_SHARE: Final = LimitShare(0.0, 0.0)
FULL_SHARE: Final = LimitShare(0.0, 1.0)


def fair_share(rank: int, number: int) -> LimitShare:
    """Tell the part that one of so many shall have in the end."""
    return LimitShare(rank / number, (rank + 1) / number)


def next_share(held: LimitShare, fair: LimitShare, others: Sequence[LimitShare]) -> LimitShare:
    """Tell what to have next: less than is held as long as it is not fair, and then what the others have let go of."""
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
