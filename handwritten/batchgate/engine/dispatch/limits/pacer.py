"""Spreads the requests and tokens that a provider reports as remaining over the time until its limit resets.

So calls slow down before the provider refuses any. The rule suits a fixed window as well as a token bucket. With a
bucket it settles where half of the bucket remains and calls start as fast as it refills.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.rate_budget import MAX_CREDIT
from batchgate.engine.model.provider_call import RemainingLimit

SMOOTHING: Final = 0.2
"""The weight of the newest call in the moving average of tokens per call."""
MAX_INTERVAL: Final = 60.0
"""Seconds between two calls at most: a header can be wrong, so one call a minute probes what the provider accepts."""
MAX_VALIDITY: Final = 3600.0
"""Seconds for which a header counts at most, if later responses have none."""


class Pacer:
    """Computes the interval between two calls from a provider's rate-limit headers."""

    __slots__ = ("_expires_at", "_interval", "_tokens_per_call", "next_at")

    def __init__(self) -> None:
        self.next_at = -inf
        """When the next call may start; minus infinity while calls need no interval."""
        self._interval = 0.0
        self._expires_at = -inf
        self._tokens_per_call = 0.0

    def record_start(self, now: float) -> None:
        """Record that a call starts."""
        if now < self._expires_at:
            self.next_at = max(self.next_at, now - MAX_CREDIT) + self._interval
        else:
            self.next_at = -inf

    def record_tokens(self, tokens: int) -> None:
        """Record how many tokens a call used."""
        self._tokens_per_call += (tokens - self._tokens_per_call) * (SMOOTHING if self._tokens_per_call else 1.0)

    def update(self, now: float, allowances: Iterable[RemainingLimit], *, demand: int, last_start: float) -> None:
        """Compute the interval anew from what the provider reports as remaining.

        ``demand`` is the number of calls in flight and waiting; an allowance that covers all of them needs no interval.
        """
        self._interval = 0.0
        for allowance in allowances:
            calls = allowance.remaining / (max(1.0, self._tokens_per_call) if allowance.unit == "tokens" else 1.0)
            interval = min(MAX_INTERVAL, allowance.reset / max(1.0, calls))
            if calls < demand and interval > self._interval:
                self._interval = interval
                self._expires_at = now + min(MAX_VALIDITY, allowance.reset)
        self.next_at = last_start + self._interval if self._interval else -inf
