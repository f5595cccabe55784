"""A rate limit of an account: requests or tokens per minute, spent evenly."""

from __future__ import annotations

from math import inf
from typing import Final

MAX_CREDIT: Final = 0.05
"""Seconds of unspent budget that are kept, so that coarse timers waste nothing."""


class RateBudget:
    """A rate limit that converts each call into time: the next call may start when all earlier ones are paid for.

    So a large call need not wait for a large budget: it starts first and is paid for afterwards.
    """

    __slots__ = ("_seconds_per_unit", "ready_at")

    def __init__(self, per_minute: float) -> None:
        self.set_rate(per_minute)
        self.ready_at = -inf
        """When all calls are paid for, and the next one may start."""

    def set_rate(self, per_minute: float) -> None:
        """Change the rate for future calls."""
        self._seconds_per_unit = 60.0 / per_minute

    def spend(self, now: float, amount: float) -> None:
        """Charge a call that starts now."""
        self.ready_at = max(self.ready_at, now - MAX_CREDIT) + amount * self._seconds_per_unit

    def correct(self, difference: float) -> None:
        """Charge the difference between the real and the estimated cost of a call; negative is a refund."""
        self.ready_at += difference * self._seconds_per_unit
