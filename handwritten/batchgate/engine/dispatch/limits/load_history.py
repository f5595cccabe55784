"""The recent calls by their load: how many the provider served and refused for load at each number of calls in flight.

It distinguishes refusals at random from refusals for load: a provider that refuses for load serves no calls at that
load, and one that refuses at random serves most calls at any load.
"""

from __future__ import annotations

from typing import Final

MIN_WINDOW: Final = 64
"""Calls after which all counts are halved, so that the latest calls count most; with higher loads as many as these."""


class LoadHistory:
    """Counts of served and refused calls by load; recent calls weigh most."""

    __slots__ = ("_calls", "_refused", "_served")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all calls."""
        self._served: list[float] = []
        self._refused: list[float] = []
        self._calls = 0.0

    def record_served(self, load: int) -> None:
        """Count a served call that started at a load."""
        self._make_room(load)
        self._served[load] += 1

    def record_refused(self, load: int) -> None:
        """Count a call that was refused at a load."""
        self._make_room(load)
        self._refused[load] += 1

    def refused_from(self, load: int) -> float:
        """Return the weight of the calls that were refused at this load or a higher one."""
        return sum(self._refused[load:])

    def served_from(self, load: int) -> float:
        """Return the weight of the calls that were served at this load or a higher one."""
        return sum(self._served[load:])

    def _make_room(self, load: int) -> None:
        """Make room for one more call at a load, and halve the counts when there are many."""
        missing = load + 1 - len(self._served)
        if missing > 0:
            self._served += [0.0] * missing
            self._refused += [0.0] * missing
        self._calls += 1
        if self._calls > max(MIN_WINDOW, len(self._served)):
            self._served = [count / 2 for count in self._served]
            self._refused = [count / 2 for count in self._refused]
            self._calls /= 2
