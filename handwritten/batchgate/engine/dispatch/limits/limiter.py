"""The limiter of one model of one account: decides which call may start, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.account_limits import AccountLimits
from batchgate.engine.dispatch.limits.adaptive_limit import AdaptiveLimit
from batchgate.engine.dispatch.limits.announced_wait import AnnouncedWait
from batchgate.engine.dispatch.limits.circuit_breaker import CircuitBreaker
from batchgate.engine.dispatch.limits.outcome import ABANDONED, SERVED, CallOutcome, OutcomeKind
from batchgate.engine.dispatch.limits.pacer import Pacer
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.refusal_streak import RefusalStreak
from batchgate.engine.dispatch.limits.wait_queue import WaitQueue
from batchgate.engine.dispatch.limits.waiter import Precedence, Waiter
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.model.model_load import LimitReason, ModelLoad
from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.provider_call import RemainingLimit

FIRST_COOLDOWN: Final = 0.5  # seconds without calls, if the provider sends no Retry-After
MAX_COOLDOWN: Final = 30.0  # seconds, in the same case
MIN_COOLDOWN: Final = 0.05  # seconds, if the provider sends a shorter Retry-After; doubled five times at most
TRIAL_DELAY: Final = 10.0
"""Seconds after a refusal until one call more is allowed, if no success has raised the limit by then."""
LONG_WAIT: Final = 30.0
"""Seconds of a Retry-After from which on even a single refusal means that the provider accepts nothing for now."""
REPORTED_WAIT: Final = 60.0
"""Seconds of a Retry-After from which on the wait is reported."""
MAX_WAIT: Final = 300.0
"""Seconds after which a call tries whether the provider accepts calls again, however long it asked to wait."""
RETRY_AFTER_JITTER: Final = 0.1
"""The fraction of a Retry-After that is added at random, so that its receivers do not all return at once."""
FORBIDDEN_THRESHOLD: Final = 3
"""Forbidden calls in a row from which on the model is considered forbidden, and not only the requests."""
SERVER_ERROR_THRESHOLD: Final = 8
"""Server errors in a row, each on the first call for its request, that are considered an outage."""

FORBIDDEN: Final = frozenset({OutcomeKind.FORBIDDEN})
SERVER_ERROR: Final = frozenset({OutcomeKind.SERVER_ERROR})


class Limiter:
    """Grants permits to calls, and adapts its limits to their outcomes."""

    __slots__ = (
        "__weakref__",
        "_account",
        "_announced_wait",
        "_breakers",
        "_cap",
        "_cooldown_until",
        "_forbidden_breaker",
        "_in_flight",
        "_last_success",
        "_limit",
        "_loop",
        "_now",
        "_outage_breaker",
        "_pacer",
        "_streak",
        "_timer",
        "_trial_at",
        "_wait_queue",
        "last_start",
    )

    def __init__(self, account: AccountLimits, model: str, cap: int) -> None:
        breaker = partial(CircuitBreaker, account.name, model, rng=account.rng, clock=account.clock)
        self._forbidden_breaker = breaker(FORBIDDEN, FORBIDDEN_THRESHOLD)
        self._outage_breaker = breaker(SERVER_ERROR, SERVER_ERROR_THRESHOLD)
        self._breakers = (account.breaker, self._forbidden_breaker, self._outage_breaker)
        self._account = account
        self._cap = cap
        self._limit = AdaptiveLimit(cap)
        self._limit.set_cap(account.share.of(cap))
        self._pacer = Pacer()
        self._announced_wait = AnnouncedWait(account.name, model, account.clock)
        self._wait_queue = WaitQueue()
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self.last_start = self._now()
        """When the last call started."""
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._cooldown_until = -inf
        self._trial_at = inf
        self._last_success = -inf
        """The start of the latest call that was served."""
        self._streak = RefusalStreak()
        account.register(self)

    @property
    def in_flight(self) -> int:
        """The number of calls in flight."""
        return self._in_flight

    @property
    def limit(self) -> float:
        """The most calls that may be in flight now."""
        return self._limit.value

    @property
    def whole_limit(self) -> int:
        """The most calls that may be in flight now over all workers, if they have learnt what this one has."""
        return min(self._cap, round(self._limit.value / (self._account.share.width or 1)))

    @property
    def within_share(self) -> bool:
        """Whether the calls in flight do not exceed this worker's share."""
        return self._in_flight <= self._account.share.of(self._cap)

    @property
    def without_share(self) -> bool:
        """Whether this worker may send no calls, as the whole limit belongs to other workers."""
        return self._account.without_share

    @property
    def waiting(self) -> int:
        """The number of calls that wait, delayed ones included."""
        return self._wait_queue.waiting

    @property
    def busy(self) -> bool:
        """Whether calls are in flight or wait."""
        return self._in_flight > 0 or self._wait_queue.waiting > 0

    @property
    def paused(self) -> AccountPause | None:
        """Why only an occasional call is sent, if that is so."""
        pause = next((breaker.pause for breaker in self._breakers if breaker.pause is not None), None)
        if pause is None and self._announced_wait.active and self._wait_queue.waiting and self._waits_long:
            return self._announced_wait.pause
        return pause

    def load(self, account: str, model: str) -> ModelLoad:
        """Return the calls in flight, how many may be, and why not more."""
        return ModelLoad(
            account=account,
            model=model,
            in_flight=self._in_flight,
            limit=int(self._limit.value),
            maximum=self._cap,
            reason=self._limit_reason,
        )

    @property
    def _limit_reason(self) -> LimitReason | None:
        now = self._now()
        if self.paused is not None:
            return "paused"
        if now < self._cooldown_until or self._limit.is_reduced:
            return "refused"
        if self._wait_queue.waiting and max(self._pacer.next_at, self._account.ready_at) > now:
            return "rate"
        return "shared" if self._account.share.of(self._cap) < self._cap else None

    @property
    def _waits_long(self) -> bool:
        """Whether calls are far apart, or none starts, because the provider announced it."""
        now = self._now()
        return self._pacer.is_slow(now) or now < self._cooldown_until

    @property
    def _healthy(self) -> bool:
        """Whether all breakers are healthy."""
        return self._account.breaker.healthy and self._forbidden_breaker.healthy and self._outage_breaker.healthy

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a call have to be estimated."""
        return self._account.counts_tokens

    def last_success(self, kind: OutcomeKind) -> float:
        """Return the start of the latest served call: of this model if ``kind`` is about models, else of the account.

        For server errors it is the current time unless there is an outage: other calls are assumed to be served.
        """
        if kind is OutcomeKind.SERVER_ERROR and self._outage_breaker.pause is None:
            return self._now()
        return self._last_success if kind in FORBIDDEN | SERVER_ERROR else self._account.last_success

    @property
    def waiting_batches(self) -> frozenset[int]:
        """The keys of the batches whose requests wait for a permit."""
        return frozenset(waiter.precedence[-1] for waiter in self._wait_queue)

    def has_waiting(self, batch_key: int) -> bool:
        """Return whether requests of a batch wait for a permit."""
        return any(waiter.precedence[-1] == batch_key for waiter in self._wait_queue)

    async def acquire(
        self, precedence: Precedence, *, tokens: int = 0, delay: float = 0.0, refused: bool = False
    ) -> Permit:
        """Wait until the call may start, and return its permit; the caller must `release` it.

        A retry waits ``delay`` seconds first. If its last call was ``refused`` for load, it may start earlier: when the
        limiter has a free permit, no other call is ready, and a call that started after the refusal was served.
        """
        now = self._now()
        if delay <= 0 and not self._wait_queue.waiting and self._next_start(now) <= now:
            return self._grant(now, tokens, is_retry=False)
        refused_at = now if refused else inf
        admission: asyncio.Future[Permit] = self._loop.create_future()
        waiter = Waiter(admission, precedence, tokens, now + delay, refused_at, is_retry=delay > 0)
        self._wait_queue.add(waiter, now)
        self.admit_waiting()
        try:
            return await admission
        except asyncio.CancelledError:
            if admission.cancelled():
                self._wait_queue.count_cancelled()
            elif admission.done():
                self.release(admission.result(), ABANDONED)
            raise

    def release(self, permit: Permit, outcome: CallOutcome) -> None:
        """End a call, adapt to its outcome, and admit waiting calls."""
        self._in_flight -= 1
        self._record(permit, outcome)
        if self._wait_queue.waiting:
            self.admit_waiting()

    def confirm(self, permit: Permit) -> None:
        """Record that a call was served, which keeps its place while the provider works on; `release` frees it."""
        self._record(permit, SERVED)

    def _record(self, permit: Permit, outcome: CallOutcome) -> None:
        now = self._now()
        if outcome.kind is not OutcomeKind.ABANDONED:
            self._account.recent_calls.record(now, refused=outcome.kind is OutcomeKind.REFUSED)
        if outcome is SERVED:
            self._record_success(permit, now)
        elif outcome.kind is OutcomeKind.REFUSED:
            self._record_refusal(permit, outcome, now)
        elif outcome.kind is OutcomeKind.NO_ANSWER or outcome.kind is OutcomeKind.UNREACHABLE:
            self._limit.record_no_answer(permit.started_at, now)
            self._trial_at = now + TRIAL_DELAY
        if not (outcome is SERVED and self._healthy):
            self._account.record(permit, outcome, now)
            self._forbidden_breaker.record(permit, outcome, now)
            self._record_for_outage(permit, outcome, now)

    def update_allowances(self, allowances: Sequence[RemainingLimit]) -> None:
        """Adapt the pace to what the provider reports as remaining."""
        demand = self._in_flight + self._wait_queue.waiting
        self._pacer.update(self._now(), allowances, demand=demand, last_start=self.last_start)
        if self._pacer.slow_limit is not None:
            self._announced_wait.begin_pace(self._pacer.slow_limit)

    def record_tokens(self, permit: Permit, tokens: int) -> None:
        """Record how many tokens a call used."""
        self._pacer.record_tokens(tokens)
        self._account.correct_tokens(tokens - permit.estimated_tokens)

    def set_share(self, share: LimitShare) -> None:
        """Limit the calls in flight to a share of the cap; what was learned is kept."""
        self._limit.set_cap(share.of(self._cap))
        self.admit_waiting()

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Put the requests of these batches before all others."""
        self._wait_queue.expedite(batch_keys)

    def set_contenders(self, contenders: Contenders) -> None:
        """Let these batches share the calls of their workspaces by their weights."""
        self._wait_queue.set_contenders(contenders)

    def admit_waiting(self) -> None:
        """Admit the waiting calls that may start now, and set a timer for the next one."""
        now = self._now()
        while (waiter := self._wait_queue.first(now, self._last_success)) is not None:
            start = self._next_start(now)
            if start > now:
                self._set_timer(start)
                return
            self._wait_queue.pop()
            waiter.admission.set_result(self._grant(now, waiter.tokens, is_retry=waiter.is_retry))
        self._set_timer(self._wait_queue.next_ready_at)

    def _next_start(self, now: float) -> float:
        """Return when the next call may start; infinity if that depends on an event."""
        account = self._account
        if now >= account.share_valid_until:
            return inf
        if not self._healthy:
            probes_at = [breaker.probe_at for breaker in self._breakers if breaker.pause is not None]
            if probes_at:
                return max(probes_at)
        if now >= self._trial_at:
            self._trial_at = inf
            self._limit.allow_one_more(self._in_flight)
        if self._in_flight + 1 > self._limit.value:
            return max(self._trial_at, self._cooldown_until)
        return max(self._cooldown_until, self._pacer.next_at, account.ready_at)

    def _grant(self, now: float, tokens: int, *, is_retry: bool) -> Permit:
        account = self._account
        self._in_flight += 1
        self.last_start = now
        if account.has_budgets:
            account.spend(now, tokens)
        if self._pacer.next_at > -inf:
            self._pacer.record_start(now)
        if self._streak.active:
            self._streak.record_start()
        permit = Permit(now, self._in_flight, tokens, is_retry)
        if not self._healthy:
            for breaker in self._breakers:
                breaker.mark_probe(permit)
        return permit

    def _record_success(self, permit: Permit, now: float) -> None:
        account, started_at = self._account, permit.started_at
        if started_at > self._last_success:
            self._last_success = account.last_success = started_at
        if self._streak.active:
            self._streak.record_success(started_at)
        if self._pacer.observes_outcomes:
            self._pacer.record_outcome(started_at, served=True)
        if self._announced_wait.active and not self._waits_long:
            self._announced_wait.end()
        if now >= self._cooldown_until:
            self._limit.record_success(permit.load, started_at, now)

    def _record_refusal(self, permit: Permit, outcome: CallOutcome, now: float) -> None:
        """Reduce the limit; start a cooldown if no call is in flight any more, or if the provider accepts nothing."""
        self._limit.record_refusal(permit.load, permit.started_at, self._in_flight, now)
        self._streak.record_refusal(permit.started_at, now)
        if self._pacer.observes_outcomes:
            self._pacer.record_outcome(permit.started_at, served=False)
        if self._in_flight and not self._streak.nothing_accepted:
            self._trial_at = now + max(outcome.retry_after or 0.0, TRIAL_DELAY)
        else:
            if self._streak.nothing_accepted or self._streak.cooldowns or (outcome.retry_after or 0.0) >= LONG_WAIT:
                self._limit.reset()
            self._streak.record_cooldown()
            self._cooldown_until = self._trial_at = max(self._cooldown_until, now + self._cooldown(outcome.retry_after))
            if outcome.retry_after is not None and outcome.retry_after >= REPORTED_WAIT:
                self._announced_wait.begin_cooldown(outcome.retry_after, MAX_WAIT)
            elif not self._pacer.is_slow(now):
                self._announced_wait.end()

    def _record_for_outage(self, permit: Permit, outcome: CallOutcome, now: float) -> None:
        """Record an outcome for the outage breaker; repeated server errors of one request do not count."""
        running = self._outage_breaker.pause is None
        if running and permit.is_retry and outcome.kind is OutcomeKind.SERVER_ERROR:
            return
        self._outage_breaker.record(permit, outcome, now)
        if running and self._outage_breaker.pause is not None:
            self._limit.reset()

    def _cooldown(self, retry_after: float | None) -> float:
        rng, times = self._account.rng, self._streak.cooldowns
        if retry_after is not None:
            wait = min(MAX_WAIT, max(retry_after, MIN_COOLDOWN * 2.0 ** min(times, 5)))
            return wait * rng.uniform(1.0, 1.0 + RETRY_AFTER_JITTER)
        return min(MAX_COOLDOWN, FIRST_COOLDOWN * 2.0 ** min(times, 10)) * rng.uniform(0.5, 1.0)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
            self._timer = None
        if at < inf:
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.admit_waiting()
