"""Slows down before the wall: spreads what the provider says is left over the time until there is more.

The same rule suits a window that starts anew and a bucket that fills all the time. With a bucket it settles where half
of it is left and calls go as fast as it fills.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.rate_budget import SLACK
from batchgate.engine.model.provider_call import Allowance

HABIT: Final = 0.2
"""The weight of one more call in what calls are taken to cost."""
LONGEST_INTERVAL: Final = 3600.0
"""Seconds between two calls at the most, as some providers write a date or milliseconds where seconds should be."""


class Pacer:
    """The time between two calls, as the provider's rate-limit headers have it."""

    __slots__ = ("_cost", "_expires", "_interval", "next_at")

    def __init__(self) -> None:
        self.next_at = -inf
        """When the next call may go; minus infinity while there is no pace to keep."""
        self._interval = 0.0
        self._expires = -inf
        self._cost = 0.0
        """Tokens of a call."""

    def admitted(self, now: float) -> None:
        """Count a call that goes."""
        if now < self._expires:
            self.next_at = max(self.next_at, now - SLACK) + self._interval
        else:
            self.next_at = -inf

    def cost(self, tokens: int) -> None:
        """Learn how many tokens a call took."""
        self._cost += (tokens - self._cost) * (HABIT if self._cost else 1.0)

    def told(self, now: float, allowances: Iterable[Allowance], *, demand: int, last: float) -> None:
        """Learn what is left, while so many calls are under way or wait, of which the last went at a time.

        What is enough for all of them needs no pace.
        """
        self._interval = 0.0
        for allowance in allowances:
            left = allowance.remaining / (max(1.0, self._cost) if allowance.unit == "tokens" else 1.0)
            interval = min(LONGEST_INTERVAL, allowance.reset / max(1.0, left))
            if left < demand and interval > self._interval:
                self._interval = interval
                self._expires = now + allowance.reset
        self.next_at = last + self._interval if self._interval else -inf
