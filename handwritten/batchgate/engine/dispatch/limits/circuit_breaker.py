"""The circuit breaker: pauses an account or a model after failures, and probes the provider until one call succeeds."""

from __future__ import annotations

import logging
import random
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.outcome import CallOutcome, OutcomeKind
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.health_report import AccountPause

logger = logging.getLogger(__name__)

FIRST_PROBE_DELAY: Final = 1.0  # seconds
MAX_PROBE_DELAY: Final = 60.0  # seconds
MAX_PROBE_DELAY_WHILE_DOWN: Final = 10.0  # seconds; neither a connection nor a server error costs anything
DOWN: Final = frozenset({OutcomeKind.UNREACHABLE, OutcomeKind.SERVER_ERROR})


class CircuitBreaker:
    """Pauses after a number of failures in a row (opens); then it lets one probe at a time through.

    A probe that succeeds ends the pause. One that fails doubles the delay until the next probe.
    """

    __slots__ = (
        "_clock",
        "_component",
        "_delay",
        "_failure_kinds",
        "_failures_left",
        "_fields",
        "_ignored_before",
        "_probe",
        "_probe_at",
        "_rng",
        "_subject",
        "_threshold",
        "healthy",
        "pause",
    )

    def __init__(
        self,
        account: str,
        model: str | None,
        failure_kinds: frozenset[OutcomeKind],
        threshold: int,
        *,
        rng: random.Random,
        clock: Clock,
    ) -> None:
        self.pause: AccountPause | None = None
        """Why it is paused, if it is."""
        self.healthy = True
        """Whether it has counted no failure since the last success; then successes need not be recorded."""
        self._subject = f"account {account!r}" if model is None else f"model {model!r} of account {account!r}"
        self._fields = {"account": account} | ({} if model is None else {"model": model})
        self._component = f"account/{account}" if model is None else f"account/{account}/{model}"
        self._failure_kinds = failure_kinds
        self._threshold = self._failures_left = threshold
        self._rng = rng
        self._clock = clock
        self._ignored_before = -inf
        """Outcomes of calls that started before are ignored."""
        self._delay = FIRST_PROBE_DELAY
        self._probe: Permit | None = None
        self._probe_at = -inf

    @property
    def probe_at(self) -> float:
        """When the next probe may start; infinity while one is in flight."""
        return inf if self._probe is not None else self._probe_at

    def mark_probe(self, permit: Permit) -> None:
        """Mark a call that starts as the probe if there is a pause."""
        if self.pause is not None:
            self._probe = permit
            permit.is_probe = True

    def record(self, permit: Permit, outcome: CallOutcome, now: float) -> bool:
        """Record the outcome of a call; return True if calls that wait may be affected."""
        if outcome.kind in self._failure_kinds:
            if permit.started_at >= self._ignored_before:
                self._record_failure(outcome, now)
                return self.pause is not None
        elif outcome.account_works:
            return self._record_success(permit)
        if permit is not self._probe:
            return False
        self._probe = None
        if outcome.kind is not OutcomeKind.ABANDONED:
            self._schedule_probe(now, min(MAX_PROBE_DELAY, 2 * self._delay))
        return True

    def _record_success(self, permit: Permit) -> bool:
        if permit.started_at < self._ignored_before:
            return False
        self.healthy = True
        self._failures_left = self._threshold
        if self.pause is None:
            return False
        logger.info("%s is resumed", self._subject, extra={"action": "account_resumed", **self._fields})
        self.pause = self._probe = None
        return True

    def _record_failure(self, outcome: CallOutcome, now: float) -> None:
        self.healthy = False
        self._failures_left -= 1
        if self._failures_left > 0:
            return
        if self.pause is None:
            fields = {"action": "account_paused", **self._fields}
            logger.warning("%s is paused: %s", self._subject, outcome.reason, extra=fields)
            delay = FIRST_PROBE_DELAY
        else:
            longest = MAX_PROBE_DELAY_WHILE_DOWN if outcome.kind in DOWN else MAX_PROBE_DELAY
            delay = min(longest, 2 * self._delay)
        self.pause = self._pause_for(outcome)
        self._schedule_probe(now, delay)

    def _pause_for(self, outcome: CallOutcome) -> AccountPause:
        return AccountPause(
            code=outcome.pause_code,
            component=self._component,
            since=self._clock.now() if self.pause is None else self.pause.since,
            reason=f"{self._subject} is paused: {outcome.reason}",
        )

    def _schedule_probe(self, now: float, delay: float) -> None:
        """Set the time of the next probe; the outcomes of calls that started earlier add nothing new."""
        self._ignored_before = now
        self._probe = None
        self._delay = delay
        self._probe_at = now + delay * self._rng.uniform(0.75, 1.0)
