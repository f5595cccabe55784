"""Refusals in a row: distinguishes a provider that accepts a little less from one that accepts nothing for now."""

from __future__ import annotations

from math import inf
from typing import Final

MIN_REFUSALS: Final = 8
"""Refusals from which on the provider may be considered to accept nothing; fewer may be random."""


class RefusalStreak:
    """Starts with a refusal, and ends when a call that started after that refusal is served."""

    __slots__ = ("_refused", "_started", "_started_at", "active", "cooldowns")

    def __init__(self) -> None:
        self.active = False
        """Whether there is a streak; without one, starts and successes need not be recorded."""
        self.cooldowns = 0
        """The number of cooldowns in a row."""
        self._started_at = -inf
        self._started = 0
        self._refused = 0

    @property
    def nothing_accepted(self) -> bool:
        """Whether nearly all calls that started since the streak began were refused too."""
        return self._refused >= MIN_REFUSALS and 4 * self._refused > 3 * self._started

    def record_start(self) -> None:
        """Count a call that starts."""
        self._started += 1

    def record_success(self, started_at: float) -> None:
        """End the streak if the served call started after it."""
        if started_at > self._started_at:
            self.active = False
            self.cooldowns = 0

    def record_refusal(self, started_at: float, now: float) -> None:
        """Start a streak, or count a refused call that started after it."""
        if not self.active:
            self.active = True
            self._started_at = now
            self._started = self._refused = 0
        elif started_at > self._started_at:
            self._refused += 1

    def record_cooldown(self) -> None:
        """Count a cooldown, and count calls anew after it."""
        self.cooldowns += 1
        self._started = self._refused = 0
