"""The control law: learns from the outcomes of calls how many calls in flight one model of one account accepts.

It is pure: the caller passes the time and the outcomes.

- It starts at the cap, which the operator has configured.
- After a refusal the limit drops to the number of calls still in service, as the provider accepted these. So all
  refusals of one burst reduce it once, to what the provider accepted of the burst. A call without an answer multiplies
  the limit by `NO_ANSWER_FACTOR`, once for all calls that were in flight with it.
- Then it increases additively: by one after a number of rounds of success. This number doubles with each refusal, and
  halves whenever a call is served at the load of the last refusal. When it is zero, or a minute after the last
  reduction, the limit increases by one for each call served.
- It also increases by one for each call served while it is below the proven load: the load at which calls were served
  many times. Each refusal subtracts from the proven load what two successes add. So the limit follows a provider that
  accepts less than before, and a provider that refuses a call now and then at any load does not hold it down.
"""

from __future__ import annotations

from math import inf
from typing import Final

MIN_LIMIT: Final = 1.0
NO_ANSWER_FACTOR: Final = 0.7
"""What the limit is multiplied by when calls get no answer."""
PROVEN_STEP: Final = 0.5
"""What a success adds to the proven load; a refusal subtracts one."""
PROVEN_MARGIN: Final = 4 / 3
"""How far the proven load may exceed the load that was served, so that a few refusals do not count."""
MAX_ROUNDS: Final = 64
"""Rounds of success, at most, between two increases by one."""
MEMORY: Final = 60.0
"""Seconds after a reduction until the limit increases quickly again."""


class AdaptiveLimit:
    """The most calls in flight: between one and a cap, which may change; zero under a cap of zero."""

    __slots__ = ("_cap", "_proven", "_reduced_at", "_refused_load", "_rounds", "_uncapped", "value")

    def __init__(self, cap: int) -> None:
        self.value: float = float(cap)
        """Its whole part is the number of calls."""
        self._cap = float(cap)
        self._refused_load = inf
        """The load of the last refusal."""
        self._rounds = 0
        """Rounds of success that an increase by one takes; zero while it increases with each call."""
        self._proven = 0.0
        self._reduced_at = -inf
        self._uncapped = inf
        """The limit that was learned, without regard to the cap; infinity until it was reduced."""

    def set_cap(self, cap: int) -> None:
        """Change the cap; what was learned above a lower cap holds again under a higher one."""
        self._cap = float(cap)
        self.value = min(self._cap, self._uncapped)

    def record_success(self, load: int, in_service: int, now: float) -> None:
        """Learn from a served call; ``load`` and ``in_service`` are the calls in flight at its start and its end."""
        proven = min(load, in_service) * PROVEN_MARGIN
        if proven > self._proven:
            self._proven = min(self._proven + PROVEN_STEP, proven)
        if self.value >= self._cap:
            return
        if load >= self._refused_load:
            self._rounds //= 2
        if now - self._reduced_at > MEMORY:
            self._rounds = 0
        if load >= min(self._refused_load, int(self.value)):
            quick = not self._rounds or self.value < self._proven / PROVEN_MARGIN
            self.value = min(self._cap, self.value + (1.0 if quick else 1 / (self.value * self._rounds)))
            self._uncapped = max(self._uncapped, self.value)

    def record_refusal(self, started_at: float, in_service: int, now: float) -> None:
        """Learn from a call that was refused for load while ``in_service`` other calls are in flight."""
        load = in_service + 1
        if load > self._proven / PROVEN_MARGIN:
            self._refused_load = load
            if started_at > self._reduced_at:
                self._reduced_at = now
                self._rounds = min(MAX_ROUNDS, max(1, 2 * self._rounds))
        self._proven = max(0.0, self._proven - 1)
        self._reduce(min(self.value, in_service))

    def record_no_answer(self, started_at: float, now: float) -> None:
        """Learn from a call that got no answer."""
        if started_at > self._reduced_at:
            self._reduced_at = now
            self._rounds = max(1, self._rounds)
            self._refused_load = inf
            self._proven = 0.0
            self._reduce(self.value * NO_ANSWER_FACTOR)

    def reset(self) -> None:
        """Reduce the limit to one, as the provider accepts nothing now; then it increases quickly."""
        self._reduce(MIN_LIMIT)
        self._refused_load, self._rounds, self._proven = inf, 0, self._proven / 2

    def allow_one_more(self, in_flight: int) -> None:
        """Allow one call more than are in flight, within the cap."""
        self.value = min(self._cap, max(self.value, in_flight + 1.0))
        self._uncapped = max(self._uncapped, self.value)

    def _reduce(self, value: float) -> None:
        self._uncapped = max(MIN_LIMIT, value)
        self.value = min(self._cap, self._uncapped)
