"""Refusals in a row: tells a provider that takes a little less from one that takes nothing at all for now."""

from __future__ import annotations

from math import inf
from typing import Final

ENOUGH: Final = 4
"""Refusals in a row that are not taken for bad luck any more."""


class RefusalStreak:
    """Begins with a refusal, and ends when a call is served that began after it."""

    __slots__ = ("_began", "_refused", "_tried", "closings", "goes_on")

    def __init__(self) -> None:
        self.goes_on = False
        """Whether there is one; if not, successes need not be told."""
        self.closings = 0
        """How often in a row there was no hope."""
        self._began = -inf
        self._tried = 0
        self._refused = 0

    @property
    def hopeless(self) -> bool:
        """Whether calls that were tried since it began have been refused as well, and hardly any was not."""
        return self._refused >= ENOUGH and 4 * self._refused > 3 * self._tried

    def admitted(self) -> None:
        """Count a call that is tried."""
        self._tried += 1

    def served(self, entered: float) -> None:
        """Learn that a call was served that began at a time."""
        if entered > self._began:
            self.goes_on = False
            self.closings = 0

    def refused(self, entered: float, now: float) -> None:
        """Learn that a call was refused that began at a time."""
        if not self.goes_on:
            self.goes_on = True
            self._began = now
            self._tried = self._refused = 0
        elif entered > self._began:
            self._refused += 1

    def closed(self) -> None:
        """Begin anew after a while in which nothing was tried."""
        self.closings += 1
        self._tried = self._refused = 0
