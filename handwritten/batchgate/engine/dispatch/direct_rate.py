"""Estimates how long the direct lane would need for requests, from the calls that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchgate.engine.dispatch.router import Router

FIRST_GUESS: Final = 10.0
"""Seconds of a call before any was measured."""
WEIGHT: Final = 0.05
"""The weight of one more call in the average."""


class DirectRate:
    """The average duration of calls, by account."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._seconds: dict[str, float] = {}
        self._calls: dict[str, int] = {}

    def record(self, account: str, seconds: float) -> None:
        """Count a call that succeeded."""
        before = self._seconds.get(account, FIRST_GUESS)
        self._seconds[account] = before + WEIGHT * (seconds - before)
        self._calls[account] = self._calls.get(account, 0) + 1

    def measured(self) -> Mapping[str, float]:
        """Return the average seconds of a call to each account, without the first guess."""
        return {account: self._measured(account, calls) for account, calls in self._calls.items()}

    def _measured(self, account: str, calls: int) -> float:
        guessed = (1 - WEIGHT) ** calls
        return (self._seconds[account] - FIRST_GUESS * guessed) / (1 - guessed)

    def seconds_for(self, account: str, model: str, requests: int) -> float:
        """Return the seconds that so many requests would take now."""
        endpoint = self._router.endpoint(account)
        per_call = self._seconds.get(account, FIRST_GUESS)
        seconds = requests * per_call / max(1.0, self._router.limit_of(account, model))
        per_minute = endpoint.account.requests_per_minute if endpoint else None
        return seconds if per_minute is None else max(seconds, 60 * requests / per_minute)
