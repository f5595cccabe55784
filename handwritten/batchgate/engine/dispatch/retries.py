"""Decides whether and when a request is sent again after a failed call."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits import CallOutcome, OutcomeKind
from batchgate.engine.model.errors import UpstreamError

FIRST_DELAY: Final = 0.5  # seconds
MAX_DELAY: Final = 60.0  # seconds
MAX_REFUSED_DELAY: Final = 300.0
"""Seconds to wait after a refusal for load at most: a longer Retry-After can be wrong, and is tried now and then."""
MAX_FAILURES: Final = 5
"""Calls for one request that may fail for other reasons than load."""
MAX_OUTAGE: Final = 4 * 3600.0
"""Seconds for which server errors do not count against a request while the provider serves no other request."""
MAX_DENIALS: Final[Mapping[OutcomeKind, int]] = {OutcomeKind.FORBIDDEN: 2, OutcomeKind.ACCOUNT_REJECTED: 3}
"""Denials of one request, with others served in between, after which the request fails.

A key may be revoked twice in the life of a request. That a request is forbidden is probably due to the request itself.
"""


class Retries:
    """The retries of one request. Refusals for load do not count: they are retried until the batch expires."""

    __slots__ = (
        "_denials",
        "_denied_at",
        "_errors_since",
        "_failures",
        "_refusals",
        "_rng",
        "delay",
        "demotions",
        "refused",
        "should_retry",
    )

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self._errors_since = inf
        self._refusals = 0
        self._denied_at = inf
        self._denials = 0
        self.should_retry = True
        """Whether to send the request again."""
        self.demotions = 0
        """Calls that failed for an outage or were denied; requests with fewer of them go first."""
        self.delay = 0.0
        """Seconds to wait before the next call."""
        self.refused = False
        """Whether the delay is due to the provider's load."""

    def record_failure(self, error: UpstreamError, outcome: CallOutcome, *, now: float, last_success: float) -> None:
        """Decide on the next call after a failed one.

        ``last_success`` is the start of the latest call that was served.
        """
        self.refused, self.delay = False, 0.0
        match outcome.kind:
            case OutcomeKind.UNREACHABLE:
                self.should_retry = error.retry_safe
            case OutcomeKind.ACCOUNT_REJECTED | OutcomeKind.FORBIDDEN:
                self._record_denial(MAX_DENIALS[outcome.kind], now, last_success)
            case OutcomeKind.SERVER_ERROR:
                self._record_server_error(now, last_success)
                self.delay = self._jittered_delay(error.retry_after, max(1, self._failures))
            case OutcomeKind.REFUSED:
                self.refused = True
                self._refusals += 1
                wait = None if error.retry_after is None else min(error.retry_after, MAX_REFUSED_DELAY)
                self.delay = self._jittered_delay(wait, self._refusals)
                self.should_retry = error.retry_safe
            case _:
                self._failures += 1
                self.delay = self._jittered_delay(error.retry_after, self._failures)
                self.should_retry = error.retry_safe and self._failures < MAX_FAILURES

    def _record_denial(self, limit: int, now: float, last_success: float) -> None:
        """Count the first denial, and each later one if other calls were served since; else the account is to blame."""
        if self._denials == 0 or last_success > self._denied_at:
            self._denials += 1
            self.demotions += 1
            self._denied_at = now
            self.delay = FIRST_DELAY
        self.should_retry = self._denials < limit

    def _record_server_error(self, now: float, last_success: float) -> None:
        """Count a server error against the request; during an outage let other requests go first instead."""
        self._errors_since = min(self._errors_since, now)
        if last_success >= now:
            self._failures += 1
            self.should_retry = self._failures < MAX_FAILURES
        else:
            self.demotions += 1
            self.should_retry = now - self._errors_since < MAX_OUTAGE

    def _jittered_delay(self, retry_after: float | None, failures: int) -> float:
        if retry_after is not None:
            return retry_after * self._rng.uniform(1.0, 1.1)
        return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 10)) * self._rng.uniform(0.5, 1.0)
