"""The limits that all models of one account share: its rate budgets, its circuit breaker and its share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf
from typing import Protocol
from weakref import WeakSet

from batchgate.engine.dispatch.limits.circuit_breaker import CircuitBreaker
from batchgate.engine.dispatch.limits.outcome import CallOutcome, OutcomeKind
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.rate_budget import RateBudget
from batchgate.engine.dispatch.limits.recent_calls import RecentCalls
from batchgate.engine.model.clock import Clock, SystemClock
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare
from batchgate.engine.model.provider_call import Account

ACCOUNT_FAILURES = frozenset({OutcomeKind.ACCOUNT_REJECTED, OutcomeKind.UNREACHABLE})


class ModelLimiter(Protocol):
    """The limiter of one model of the account."""

    def admit_waiting(self) -> None:
        """Admit the waiting calls that may start now."""
        ...

    def set_share(self, share: LimitShare) -> None:
        """Limit the calls in flight to a share of the cap."""
        ...


class AccountLimits:
    """The limits of one account, whatever the model."""

    __slots__ = (
        "_account",
        "_limiters",
        "_requests",
        "_tokens",
        "breaker",
        "clock",
        "counts_tokens",
        "has_budgets",
        "last_success",
        "name",
        "ready_at",
        "recent_calls",
        "rng",
        "share",
        "share_valid_until",
    )

    def __init__(self, account: Account, rng: random.Random, clock: Clock | None = None) -> None:
        self._account = account
        self.name = account.name
        self.rng = rng
        self.clock = clock or SystemClock()
        self.breaker = CircuitBreaker(account.name, None, ACCOUNT_FAILURES, 1, rng=rng, clock=self.clock)
        self.ready_at = -inf
        """When the budgets allow the next call."""
        self.recent_calls = RecentCalls()
        self.last_success = -inf
        """The start of the latest call that was served."""
        self._requests = RateBudget(account.requests_per_minute) if account.requests_per_minute else None
        self._tokens = RateBudget(account.tokens_per_minute) if account.tokens_per_minute else None
        self.has_budgets = self._requests is not None or self._tokens is not None
        self.counts_tokens = self._tokens is not None
        """Whether the tokens of a call have to be estimated."""
        self.share = FULL_SHARE
        """The part of the limits that this worker may use."""
        self.share_valid_until = inf
        """When other workers may take over the share; minus infinity if there is none."""
        self._limiters: WeakSet[ModelLimiter] = WeakSet()

    def register(self, limiter: ModelLimiter) -> None:
        """Notify a limiter of later changes to the share and the circuit breaker."""
        self._limiters.add(limiter)

    @property
    def without_share(self) -> bool:
        """Whether this worker may send no calls, as the whole limit belongs to other workers."""
        return not self.share.of(self._account.concurrency)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Limit the account to a share until a time of the event loop's clock, and to nothing after it."""
        if share.width and share != self.share:
            for budget, limit in self._budgets():
                budget.set_rate(limit * share.width)
        self.share = share
        self.share_valid_until = -inf if self.without_share else until
        for limiter in tuple(self._limiters):
            limiter.set_share(share)

    def _budgets(self) -> Iterator[tuple[RateBudget, int]]:
        if self._requests is not None:
            yield self._requests, self._account.requests_per_minute or 0
        if self._tokens is not None:
            yield self._tokens, self._account.tokens_per_minute or 0

    def spend(self, now: float, tokens: int) -> None:
        """Charge a call that starts now to the budgets."""
        if self._requests is not None:
            self._requests.spend(now, 1)
        if self._tokens is not None:
            self._tokens.spend(now, tokens)
        self._update_ready_at()

    def correct_tokens(self, difference: int) -> None:
        """Charge the difference between the used and the estimated tokens of a call."""
        if self._tokens is not None:
            self._tokens.correct(difference)
            self._update_ready_at()

    def record(self, permit: Permit, outcome: CallOutcome, now: float) -> None:
        """Record the outcome of a call; successes only while the breaker is not `CircuitBreaker.healthy`."""
        if self.breaker.record(permit, outcome, now):
            for limiter in tuple(self._limiters):
                limiter.admit_waiting()

    def _update_ready_at(self) -> None:
        budgets = (self._requests, self._tokens)
        self.ready_at = max(budget.ready_at for budget in budgets if budget is not None)
