"""So much a minute, spent evenly: requests or tokens of an account."""

from __future__ import annotations

from math import inf
from typing import Final

SLACK: Final = 0.05
"""Seconds of unspent budget that are kept, so that coarse timers lose nothing."""


class RateBudget:
    """A rate that is kept by paying for each call with time; a heavy call goes when it is its turn and pays after."""

    __slots__ = ("_seconds_each", "ready_at")

    def __init__(self, per_minute: float) -> None:
        self.change(per_minute)
        self.ready_at = -inf
        """When all that was spent is paid for, and the next call may go."""

    def change(self, per_minute: float) -> None:
        """Spend at another rate from now on."""
        self._seconds_each = 60.0 / per_minute

    def spend(self, now: float, amount: float) -> None:
        """Take some of it."""
        self.ready_at = max(self.ready_at, now - SLACK) + amount * self._seconds_each

    def correct(self, amount: float) -> None:
        """Take more of it, or give some back, as it is now known what a call really was."""
        self.ready_at += amount * self._seconds_each
