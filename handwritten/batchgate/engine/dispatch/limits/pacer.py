"""Spreads the requests and tokens that a provider reports as remaining over the time until its limit resets.

So calls slow down before the provider refuses any. The rule suits a fixed window as well as a token bucket. With a
bucket it settles where half of the bucket remains and calls start as fast as it refills.

A report can be wrong, so a call a minute is sent whatever it states. `ReportTrust` compares the outcomes of these calls
with the report, and reports that are proven wrong are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.rate_budget import MAX_CREDIT
from batchgate.engine.dispatch.limits.report_trust import ReportTrust
from batchgate.engine.model.provider_call import RemainingLimit

SMOOTHING: Final = 0.2
"""The weight of the newest call in the moving average of tokens per call."""
MAX_INTERVAL: Final = 60.0
"""Seconds between two calls at most: a header can be wrong, so one call a minute probes what the provider accepts."""
SLOW_INTERVAL: Final = 30.0
"""Seconds between two calls from which on the wait is reported, and the report is compared with what is served."""
MAX_VALIDITY: Final = 3600.0
"""Seconds for which a header counts at most, if later responses have none."""


class Pacer:
    """Computes the interval between two calls from a provider's rate-limit headers."""

    __slots__ = ("_expires_at", "_interval", "_tokens_per_call", "_trust", "next_at", "reset_at", "slow_limit")

    def __init__(self) -> None:
        self.next_at = -inf
        """When the next call may start; minus infinity while calls need no interval."""
        self.slow_limit: RemainingLimit | None = None
        """The reported limit for which calls are `SLOW_INTERVAL` or more apart, if they are."""
        self.reset_at = -inf
        """When that limit resets."""
        self._interval = 0.0
        self._expires_at = -inf
        self._tokens_per_call = 0.0
        self._trust = ReportTrust()

    def is_slow(self, now: float) -> bool:
        """Return whether calls are `SLOW_INTERVAL` or more apart now."""
        return self.slow_limit is not None and now < self._expires_at

    @property
    def observes_outcomes(self) -> bool:
        """Whether the outcomes of calls have to be recorded."""
        return self._trust.observes_outcomes

    def record_start(self, now: float) -> None:
        """Record that a call starts."""
        if now < self._expires_at:
            self.next_at = max(self.next_at, now - MAX_CREDIT) + self._interval
            if self.slow_limit is not None:
                self._trust.record_start(now)
        else:
            self.next_at = -inf
            self.slow_limit = None

    def record_outcome(self, started_at: float, *, served: bool) -> None:
        """Record whether a call was served or refused for load."""
        self._trust.record_outcome(started_at, served=served)
        if self._trust.ignores_reports and self.slow_limit is not None:
            self._interval, self.next_at, self.slow_limit = 0.0, -inf, None

    def record_tokens(self, tokens: int) -> None:
        """Record how many tokens a call used."""
        self._tokens_per_call += (tokens - self._tokens_per_call) * (SMOOTHING if self._tokens_per_call else 1.0)

    def update(self, now: float, allowances: Iterable[RemainingLimit], *, demand: int, last_start: float) -> None:
        """Compute the interval anew from what the provider reports as remaining.

        ``demand`` is the number of calls in flight and waiting; an allowance that covers all of them needs no interval.
        """
        self._interval, self.slow_limit = 0.0, None
        slowest, slow_calls = 0.0, 0.0
        for allowance in allowances:
            calls = allowance.remaining / (max(1.0, self._tokens_per_call) if allowance.unit == "tokens" else 1.0)
            interval = allowance.reset / max(1.0, calls)
            if calls >= demand or (interval >= SLOW_INTERVAL and self._trust.ignores_reports):
                continue
            if interval > slowest:
                slowest, slow_calls = interval, calls
                self.slow_limit = allowance if interval >= SLOW_INTERVAL else None
                self._interval = min(MAX_INTERVAL, interval)
                self._expires_at = now + min(MAX_VALIDITY, allowance.reset)
                self.reset_at = now + allowance.reset
        self.next_at = last_start + self._interval if self._interval else -inf
        if self.slow_limit is not None:
            self._trust.record_report(now, slow_calls, self.reset_at)
        elif not self._trust.ignores_reports:
            self._trust.record_consistent_report()
