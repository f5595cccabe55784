"""What the gates of one account share: its budgets for a minute, and the pause when it is not let in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf
from typing import Protocol
from weakref import WeakSet

from batchgate.engine.dispatch.limits.circuit_breaker import CircuitBreaker
from batchgate.engine.dispatch.limits.outcome import Outcome, OutcomeKind
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.rate_budget import RateBudget
from batchgate.engine.model.clock import Clock, SystemClock
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare
from batchgate.engine.model.provider_call import Account

NOT_LET_IN = frozenset({OutcomeKind.REJECTED, OutcomeKind.DOWN})


class ModelLimiter(Protocol):
    """What stands in front of one model of the account."""

    def look(self) -> None:
        """Let enter whoever may, as something has changed."""
        ...

    def set_share(self, share: LimitShare) -> None:
        """Let no more be under way than are of a share."""
        ...


class AccountLimits:
    """The limits of an account as a whole, whatever the model."""

    __slots__ = (
        "_account",
        "_gates",
        "_requests",
        "_tokens",
        "chance",
        "clock",
        "counts_tokens",
        "has_budgets",
        "name",
        "open_until",
        "pause",
        "ready_at",
        "served_since",
        "share",
    )

    def __init__(self, account: Account, chance: random.Random, clock: Clock | None = None) -> None:
        self._account = account
        self.name = account.name
        self.chance = chance
        self.clock = clock or SystemClock()
        self.pause = CircuitBreaker(account.name, None, NOT_LET_IN, 1, chance, self.clock)
        self.ready_at = -inf
        """When the budgets let the next call go."""
        self.served_since = -inf
        """When the last of the calls began that were served."""
        self._requests = RateBudget(account.requests_per_minute) if account.requests_per_minute else None
        self._tokens = RateBudget(account.tokens_per_minute) if account.tokens_per_minute else None
        self.has_budgets = self._requests is not None or self._tokens is not None
        self.counts_tokens = self._tokens is not None
        """Whether it matters how many tokens a call costs."""
        self.share = FULL_SHARE
        """What of the account's limits is kept to here, if there are other workers."""
        self.open_until = inf
        """Until when calls may go as far as other workers know of this one; always passed if it has no share."""
        self._gates: WeakSet[ModelLimiter] = WeakSet()

    def join(self, gate: ModelLimiter) -> None:
        """Tell a gate from now on when something changed for it."""
        self._gates.add(gate)

    @property
    def without_share(self) -> bool:
        """Whether no call may go from here, as all of them are the share of other workers."""
        return not self.share.of(self._account.concurrency)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Keep to a share of the limits, and to none after a time."""
        if share.width and share != self.share:
            for budget, limit in self._budgets():
                budget.change(limit * share.width)
        self.share = share
        self.open_until = -inf if self.without_share else until
        for gate in tuple(self._gates):
            gate.set_share(share)

    def _budgets(self) -> Iterator[tuple[RateBudget, int]]:
        if self._requests is not None:
            yield self._requests, self._account.requests_per_minute or 0
        if self._tokens is not None:
            yield self._tokens, self._account.tokens_per_minute or 0

    def spend(self, now: float, tokens: int) -> None:
        """Pay for a call that goes."""
        if self._requests is not None:
            self._requests.spend(now, 1)
        if self._tokens is not None:
            self._tokens.spend(now, tokens)
        self._look_ahead()

    def correct(self, tokens: int) -> None:
        """Pay the difference for a call that took more tokens than it was taken to cost, or fewer."""
        if self._tokens is not None:
            self._tokens.correct(tokens)
            self._look_ahead()

    def heard(self, ticket: Permit, outcome: Outcome, now: float) -> None:
        """Learn how a call ended; a success only while the pause is not `CircuitBreaker.calm`."""
        if self.pause.heard(ticket, outcome, now):
            for gate in tuple(self._gates):
                gate.look()

    def _look_ahead(self) -> None:
        budgets = (self._requests, self._tokens)
        self.ready_at = max(budget.ready_at for budget in budgets if budget is not None)
