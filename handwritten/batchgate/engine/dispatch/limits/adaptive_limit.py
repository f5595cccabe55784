"""The control law: how many calls at once one model of one account bears, learnt from how the calls end.

It is pure: others tell it the time and what happened.

- It starts at the cap, which is what the operator believes in.
- A refusal says that the calls still in service were enough, so the limit falls to their number. All refusals of one
  burst together thus cut once, to what the provider took of it. A call without an answer cuts by a part, once for all
  that were under way with it.
- Then it feels its way upward: one place more after so many rounds of success, twice as many rounds after each
  refusal, half as many whenever a call is served at the load of the last refusal. When none are left, or after a
  minute, it grows by a place for each call served.
- So it does below the load that is trusted as well: what calls have been served at again and again. Each refusal takes
  from this trust what two successes give to it. A provider that bears less than before is thus found out, and one that
  refuses a call now and then, whatever the load, does not hold the limit down.
"""

from __future__ import annotations

from math import inf
from typing import Final

FLOOR: Final = 1.0
LOSS: Final = 0.7
"""What is left of the limit when calls stay without an answer."""
TRUST: Final = 0.5
"""What a success adds to the trusted load; a refusal takes one."""
MOST_TRUST: Final = 4 / 3
"""How far it may get ahead of the load that was served, so that a few refusals do not count."""
LONGEST_PATIENCE: Final = 64
"""Rounds of success, at the most, between two tries to go higher."""
MEMORY: Final = 60.0  # seconds


class AdaptiveLimit:
    """The most calls at once, between one and a cap, which may change; under a cap of nothing there are none."""

    __slots__ = ("_cap", "_cut_at", "_learnt", "_patience", "_trusted", "_wall", "value")

    def __init__(self, cap: int) -> None:
        self.value: float = float(cap)
        """Its whole part is the number of calls."""
        self._cap = float(cap)
        self._wall = inf
        """The load of the last refusal."""
        self._patience = 0
        """Rounds of success that one place more costs; none while growth is quick."""
        self._trusted = 0.0
        self._cut_at = -inf
        self._learnt = inf
        """What would be borne beyond the cap, as far as is known: anything until it has been cut."""

    def bound(self, cap: int) -> None:
        """Keep to another cap from now on; what was learnt beyond a lower one holds again under a higher one."""
        self._cap = float(cap)
        self.value = min(self._cap, self._learnt)

    def served(self, load: int, in_service: int, now: float) -> None:
        """Learn that a call was served; so many were under way when it began, and when it ended, itself included."""
        level = min(load, in_service) * MOST_TRUST
        if level > self._trusted:
            self._trusted = min(self._trusted + TRUST, level)
        if self.value >= self._cap:
            return
        if load >= self._wall:
            self._patience //= 2
        if now - self._cut_at > MEMORY:
            self._patience = 0
        if load >= min(self._wall, int(self.value)):
            quick = not self._patience or self.value < self._trusted / MOST_TRUST
            self.value = min(self._cap, self.value + (1.0 if quick else 1 / (self.value * self._patience)))
            self._learnt = max(self._learnt, self.value)

    def refused(self, entered: float, in_service: int, now: float) -> None:
        """Learn that a call, which began at a time, was refused for load while so many others are under way."""
        load = in_service + 1
        if load > self._trusted / MOST_TRUST:
            self._wall = load
            if entered > self._cut_at:
                self._cut_at = now
                self._patience = min(LONGEST_PATIENCE, max(1, 2 * self._patience))
        self._trusted = max(0.0, self._trusted - 1)
        self._cut(min(self.value, in_service))

    def lost(self, entered: float, now: float) -> None:
        """Learn that a call, which began at a time, had no answer."""
        if entered > self._cut_at:
            self._cut_at = now
            self._patience = max(1, self._patience)
            self._wall = inf
            self._trusted = 0.0
            self._cut(self.value * LOSS)

    def shut(self) -> None:
        """Forget how many it bears, as it takes none now: growth will be quick."""
        self._cut(FLOOR)
        self._wall, self._patience, self._trusted = inf, 0, self._trusted / 2

    def one_more(self, in_flight: int) -> None:
        """Let one call more than are under way be tried, whatever was learnt."""
        self.value = min(self._cap, max(self.value, in_flight + 1.0))
        self._learnt = max(self._learnt, self.value)

    def _cut(self, value: float) -> None:
        self._learnt = max(FLOOR, value)
        self.value = min(self._cap, self._learnt)
