"""The gate in front of one model of one account: who may call now, and who has to wait for what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.account_limits import AccountLimits
from batchgate.engine.dispatch.limits.adaptive_limit import AdaptiveLimit
from batchgate.engine.dispatch.limits.circuit_breaker import CircuitBreaker
from batchgate.engine.dispatch.limits.outcome import ABANDONED, SERVED, Outcome, OutcomeKind
from batchgate.engine.dispatch.limits.pacer import Pacer
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.refusal_streak import RefusalStreak
from batchgate.engine.dispatch.limits.wait_queue import Precedence, Waiter, WaitQueue
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.model.provider_call import Allowance

FIRST_CLOSING: Final = 0.5  # seconds, where the provider does not say how long
LONGEST_CLOSING: Final = 30.0  # seconds, likewise
SHORTEST_CLOSING: Final = 0.05  # seconds, where it says that it will not be long; doubled five times at the most
TRIAL: Final = 10.0
"""Seconds after a refusal when one call more is tried, if no success has widened the limit by then."""
SPREAD: Final = 0.1
"""The part of a Retry-After that is added by chance, so that all who heard it do not come back together."""
STRIKES: Final = 3
"""Calls in a row that have to be forbidden before that is taken to be about the model and not about the requests."""

FAULTS: Final = 8
"""Faults in a row, each on a request that has not failed before, that are taken for an outage."""

FORBIDDEN: Final = frozenset({OutcomeKind.FORBIDDEN})
FAULTED: Final = frozenset({OutcomeKind.FAULTED})


class Limiter:
    """Lets calls enter, each with a ticket, and learns from how they leave."""

    __slots__ = (
        "__weakref__",
        "_account",
        "_cap",
        "_closed_until",
        "_in_flight",
        "_limit",
        "_line",
        "_loop",
        "_now",
        "_outage",
        "_pace",
        "_pauses",
        "_served_since",
        "_streak",
        "_timer",
        "_trial_at",
        "last_entered",
        "pause",
    )

    def __init__(self, account: AccountLimits, model: str, cap: int) -> None:
        self.pause = CircuitBreaker(account.name, model, FORBIDDEN, STRIKES, account.chance, account.clock)
        self._outage = CircuitBreaker(account.name, model, FAULTED, FAULTS, account.chance, account.clock)
        self._pauses = (account.pause, self.pause, self._outage)
        self._account = account
        self._cap = cap
        self._limit = AdaptiveLimit(cap)
        self._limit.bound(account.share.of(cap))
        self._pace = Pacer()
        self._line = WaitQueue()
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self.last_entered = self._now()
        """When the last call began."""
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._closed_until = -inf
        self._trial_at = inf
        self._served_since = -inf
        """When the last of the calls began that were served."""
        self._streak = RefusalStreak()
        account.join(self)

    @property
    def in_flight(self) -> int:
        """Calls under way now."""
        return self._in_flight

    @property
    def limit(self) -> float:
        """The most calls that may be under way now."""
        return self._limit.value

    @property
    def within_share(self) -> bool:
        """Whether no more are under way than are of its share."""
        return self._in_flight <= self._account.share.of(self._cap)

    @property
    def without_share(self) -> bool:
        """Whether no call may go from here, as all of them are the share of other workers."""
        return self._account.without_share

    @property
    def waiting(self) -> int:
        """Calls that wait, resting ones included."""
        return self._line.waiting

    @property
    def busy(self) -> bool:
        """Whether calls are under way or wait."""
        return self._in_flight > 0 or self._line.waiting > 0

    @property
    def paused(self) -> AccountPause | None:
        """Why only an occasional probe is sent, if that is so."""
        return next((breaker.pause for breaker in self._pauses if breaker.pause is not None), None)

    @property
    def _calm(self) -> bool:
        """Whether nothing is paused nor near to it."""
        return self._account.pause.calm and self.pause.calm and self._outage.calm

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a call costs."""
        return self._account.counts_tokens

    def served_since(self, kind: OutcomeKind) -> float:
        """Tell when the last call began that was served, by this model if others of the account do not count.

        Of faults, it is taken to be served at this moment unless there is an outage.
        """
        if kind is OutcomeKind.FAULTED and self._outage.pause is None:
            return self._now()
        return self._served_since if kind in FORBIDDEN | FAULTED else self._account.served_since

    def waits_for(self, batch_key: int) -> bool:
        """Tell if requests of a batch, the last part of their order, wait here."""
        return any(place.order[-1] == batch_key for place in self._line)

    async def enter(self, order: Precedence, *, tokens: int = 0, rest: float = 0.0, refused: bool = False) -> Permit:
        """Wait until the call may go; whoever enters has to `leave`.

        A call that failed rests some seconds first; if it was ``refused`` for load, then not longer than it takes to
        see that others are served, and that there is room.
        """
        now = self._now()
        if rest <= 0 and not self._line.waiting and self._opens_at(now) <= now:
            return self._admit(now, tokens, again=False)
        refused_at = now if refused else inf
        place = Waiter(self._loop.create_future(), order, tokens, now + rest, refused_at, again=rest > 0)
        self._line.add(place, now)
        self.look()
        try:
            return await place.admitted
        except asyncio.CancelledError:
            if place.admitted.cancelled():
                self._line.give_up()
            elif place.admitted.done():
                self.leave(place.admitted.result(), ABANDONED)
            raise

    def leave(self, ticket: Permit, outcome: Outcome) -> None:
        """End a call, learn from its outcome, and let others enter."""
        self._in_flight -= 1
        now = self._now()
        if outcome is SERVED:
            self._served(ticket, now)
        elif outcome.kind is OutcomeKind.REFUSED:
            self._refused(ticket, outcome, now)
        elif outcome.kind is OutcomeKind.LOST or outcome.kind is OutcomeKind.DOWN:
            self._limit.lost(ticket.entered, now)
            self._trial_at = now + TRIAL
        if not (outcome is SERVED and self._calm):
            self._account.heard(ticket, outcome, now)
            self.pause.heard(ticket, outcome, now)
            self._faulted(ticket, outcome, now)
        if self._line.waiting:
            self.look()

    def told(self, allowances: Sequence[Allowance]) -> None:
        """Learn what the provider says is left."""
        demand = self._in_flight + self._line.waiting
        self._pace.told(self._now(), allowances, demand=demand, last=self.last_entered)

    def used(self, ticket: Permit, tokens: int) -> None:
        """Learn how many tokens a call took in truth."""
        self._pace.cost(tokens)
        self._account.correct(tokens - ticket.tokens)

    def set_share(self, share: LimitShare) -> None:
        """Let no more be under way than are of a share; what was learnt is kept."""
        self._limit.bound(share.of(self._cap))
        self.look()

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Let the requests of these batches go before all others."""
        self._line.expedite(batch_keys)

    def look(self) -> None:
        """Let enter whoever may, and come back when the next one may."""
        now = self._now()
        while (place := self._line.first(now, self._served_since)) is not None:
            opens_at = self._opens_at(now)
            if opens_at > now:
                self._look_again(opens_at)
                return
            self._line.take_first()
            place.admitted.set_result(self._admit(now, place.tokens, again=place.again))
        self._look_again(self._line.next_rested)

    def _opens_at(self, now: float) -> float:
        """Tell when the next call may go; infinity if something has to happen first."""
        account = self._account
        if now >= account.open_until:
            return inf
        if not self._calm:
            probes_at = [pause.probe_at for pause in self._pauses if pause.pause is not None]
            if probes_at:
                return max(probes_at)
        if now >= self._trial_at:
            self._trial_at = inf
            self._limit.one_more(self._in_flight)
        if self._in_flight + 1 > self._limit.value:
            return max(self._trial_at, self._closed_until)
        return max(self._closed_until, self._pace.next_at, account.ready_at)

    def _admit(self, now: float, tokens: int, *, again: bool) -> Permit:
        account = self._account
        self._in_flight += 1
        self.last_entered = now
        if account.has_budgets:
            account.spend(now, tokens)
        if self._pace.next_at > -inf:
            self._pace.admitted(now)
        if self._streak.goes_on:
            self._streak.admitted()
        ticket = Permit(now, self._in_flight, tokens, again)
        if not self._calm:
            for pause in self._pauses:
                pause.probed_by(ticket)
        return ticket

    def _served(self, ticket: Permit, now: float) -> None:
        account, entered = self._account, ticket.entered
        if entered > self._served_since:
            self._served_since = account.served_since = entered
        if self._streak.goes_on:
            self._streak.served(entered)
        if now >= self._closed_until:
            self._limit.served(ticket.load, self._in_flight + 1, now)

    def _refused(self, ticket: Permit, outcome: Outcome, now: float) -> None:
        """Cut; and close when nothing is in service any more, or if there is no hope for others."""
        self._limit.refused(ticket.entered, self._in_flight, now)
        self._streak.refused(ticket.entered, now)
        if self._in_flight and not self._streak.hopeless:
            self._trial_at = now + max(outcome.retry_after or 0.0, TRIAL)
        else:
            self._limit.shut()
            self._streak.closed()
            self._closed_until = self._trial_at = max(self._closed_until, now + self._closing(outcome.retry_after))

    def _faulted(self, ticket: Permit, outcome: Outcome, now: float) -> None:
        """Learn of a fault, or that there was none; a request that keeps failing says nothing about others."""
        running = self._outage.pause is None
        if running and ticket.again and outcome.kind is OutcomeKind.FAULTED:
            return
        self._outage.heard(ticket, outcome, now)
        if running and self._outage.pause is not None:
            self._limit.shut()

    def _closing(self, retry_after: float | None) -> float:
        chance, times = self._account.chance, self._streak.closings
        if retry_after is not None:
            return max(retry_after, SHORTEST_CLOSING * 2.0 ** min(times, 5)) * chance.uniform(1.0, 1.0 + SPREAD)
        return min(LONGEST_CLOSING, FIRST_CLOSING * 2.0 ** min(times, 10)) * chance.uniform(0.5, 1.0)

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
            self._timer = None
        if at < inf:
            self._timer = self._loop.call_at(at, self._timed_look)

    def _timed_look(self) -> None:
        self._timer = None
        self.look()
