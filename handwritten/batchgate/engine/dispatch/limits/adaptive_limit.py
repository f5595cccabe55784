"""The control law: learns from the outcomes of calls how many calls in flight one model of one account accepts.

It is pure: the caller passes the time and the outcomes.

- It starts at the cap, which the operator has configured.
- A refusal is a sign of load only if the recent calls at its load, or at a higher one, were not served (`LoadHistory`).
  Otherwise the provider refuses at random, and the limit stays. So does the first refusal at a load, however few calls
  were in flight with it: one refusal is no evidence.
- After a refusal for load the limit drops to the number of calls still in service, as the provider accepted these. So
  all refusals of one burst reduce it once, to what the provider accepted of the burst. If most of the calls that were
  in flight with the refused ones are served then, the refusals were at random, and the limit is restored. A call
  without an answer multiplies the limit by `NO_ANSWER_FACTOR`, once for all calls that were in flight with it.
- Then it increases additively: by one after a number of rounds of success. This number doubles with each refusal, and
  halves whenever a call is served at the load of the last refusal. When it is zero, or a minute after the last
  reduction, the limit increases by one for each call served.
"""

from __future__ import annotations

from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.load_history import LoadHistory

MIN_LIMIT: Final = 1.0
NO_ANSWER_FACTOR: Final = 0.7
"""What the limit is multiplied by when calls get no answer."""
TOLERANCE: Final = 3
"""Refusals that are no evidence while no load is known that the provider refuses: a few may be by chance."""
MAX_ROUNDS: Final = 64
"""Rounds of success, at most, between two increases by one."""
MEMORY: Final = 60.0
"""Seconds after a reduction until the limit increases quickly again."""


class AdaptiveLimit:
    """The most calls in flight: between one and a cap, which may change; zero under a cap of zero."""

    __slots__ = (
        "_before_burst",
        "_burst_load",
        "_burst_refused",
        "_burst_served",
        "_cap",
        "_history",
        "_reduced_at",
        "_refused_load",
        "_rounds",
        "_uncapped",
        "value",
    )

    def __init__(self, cap: int) -> None:
        self.value: float = float(cap)
        """Its whole part is the number of calls."""
        self._cap = float(cap)
        self._history = LoadHistory()
        self._refused_load = inf
        """The load of the last refusal for load; infinity while none is known."""
        self._rounds = 0
        """Rounds of success that an increase by one takes; zero while it increases with each call."""
        self._reduced_at = -inf
        self._uncapped = inf
        """The limit that was learned, without regard to the cap; infinity until it was reduced."""
        self._before_burst = inf
        """The learned limit before the last burst of refusals."""
        self._burst_load = inf
        """The lowest load at which a call of the last burst started that was refused; infinity without a burst."""
        self._burst_refused = 0
        self._burst_served = 0
        """The calls in flight with the refused ones that started at their load or a higher one, and were served."""

    @property
    def is_reduced(self) -> bool:
        """Whether it is below the cap, after refusals or calls without an answer."""
        return self.value < self._cap

    def set_cap(self, cap: int) -> None:
        """Change the cap; what was learned above a lower cap holds again under a higher one."""
        self._cap = float(cap)
        self.value = min(self._cap, self._uncapped)

    def record_success(self, load: int, started_at: float, now: float) -> None:
        """Learn from a served call; ``load`` is the calls in flight at its start."""
        self._history.record_served(load)
        if self.value >= self._cap:
            return
        if load >= self._burst_load and started_at <= self._reduced_at:
            self._burst_served += 1
            if self._burst_served > self._burst_refused:
                self._restore()
                return
        if load >= self._refused_load:
            self._rounds //= 2
        if now - self._reduced_at > MEMORY:
            self._rounds = 0
        if load >= min(self._refused_load, int(self.value)):
            self.value = min(self._cap, self.value + (1 / (self.value * self._rounds) if self._rounds else 1.0))
            self._uncapped = max(self._uncapped, self.value)
        if load >= self._refused_load and not self._rounds:
            self._refused_load = inf

    def record_refusal(self, load: int, started_at: float, in_service: int, now: float) -> None:
        """Learn from a call that was refused for load while ``in_service`` other calls are in flight.

        ``load`` is the calls in flight at its start.
        """
        if started_at > self._reduced_at or self._burst_load == inf:
            self._history.record_refused(in_service + 1)
            if self._is_random(in_service + 1):
                return
            self._begin_burst(now)
        self._burst_load = min(self._burst_load, load)
        self._burst_refused += 1
        if self._burst_refused > TOLERANCE:
            self._rounds = max(1, self._rounds)
        self._refused_load = in_service + 1
        self._reduce(min(self.value, in_service))

    def record_no_answer(self, started_at: float, now: float) -> None:
        """Learn from a call that got no answer."""
        if started_at > self._reduced_at:
            self._forget_refusals()
            self._reduced_at = now
            self._rounds = max(1, self._rounds)
            self._reduce(self.value * NO_ANSWER_FACTOR)

    def reset(self) -> None:
        """Reduce the limit to one, as the provider accepts nothing now; then it increases quickly."""
        self._forget_refusals()
        self._rounds = 0
        self._reduce(MIN_LIMIT)

    def allow_one_more(self, in_flight: int) -> None:
        """Allow one call more than are in flight, within the cap."""
        self.value = min(self._cap, max(self.value, in_flight + 1.0))
        self._uncapped = max(self._uncapped, self.value)

    def _is_random(self, load: int) -> bool:
        """Return whether a refusal that was just recorded is no sign of load."""
        evidence = self._history.refused_from(load) - (TOLERANCE if self._refused_load == inf else 0)
        return self._history.served_from(load) > evidence

    def _begin_burst(self, now: float) -> None:
        if not self._burst_served:  # else the burst before may still turn out to be random
            self._before_burst = self._uncapped
        self._burst_load = inf
        self._burst_refused = self._burst_served = 0
        self._reduced_at = now
        if self._refused_load < inf:
            self._rounds = min(MAX_ROUNDS, max(1, 2 * self._rounds))

    def _restore(self) -> None:
        """Undo the reduction by a burst of refusals that were at random."""
        self._uncapped = max(self._uncapped, self._before_burst)
        self.value = min(self._cap, self._uncapped)
        self._refused_load = self._burst_load = inf
        self._rounds = self._burst_served = self._burst_refused = 0

    def _forget_refusals(self) -> None:
        self._history.clear()
        self._refused_load = self._burst_load = inf
        self._burst_served = self._burst_refused = 0

    def _reduce(self, value: float) -> None:
        self._uncapped = max(MIN_LIMIT, value)
        self.value = min(self._cap, self._uncapped)
