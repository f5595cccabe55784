"""How often and how long to poll the progress of a batch; without a clock and without network."""

from __future__ import annotations

from typing import Final

from batchgate_client.models import BatchProgress
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, WaitTimedOut
from batchgate_streams.outage import Outage, retry_delay

FINAL: Final = frozenset({"ended", "failed"})
"""Statuses that do not change any more."""
SHORTEST_PAUSE: Final = 0.1  # seconds
GROWTH: Final = 1.5
POLL_TIMEOUT: Final = 30.0
"""Timeout of one poll in seconds, independent of the client's own."""


class Polling:
    """The decisions of one `wait`; all times are seconds on one clock."""

    def __init__(self, *, poll: float, timeout: float | None, now: float) -> None:
        if poll <= 0:
            raise ValueError(f"poll: a positive number of seconds, not {poll}")
        self._poll = poll
        self._timeout = timeout
        self._until = None if timeout is None else now + timeout
        self._pause = min(SHORTEST_PAUSE, poll)
        self._outage = Outage()
        self._progress: BatchProgress | None = None

    def poll_timeout(self, now: float) -> float:
        """Return the timeout of the next poll."""
        return POLL_TIMEOUT if self._until is None else max(0.001, min(POLL_TIMEOUT, self._until - now))

    def answered(self, progress: BatchProgress, now: float) -> float:
        """Return the delay until the next poll of a batch that is not final; raises `WaitTimedOut`."""
        self._outage.end()
        self._progress = progress
        pause = self._pause
        self._pause = min(self._pause * GROWTH, self._poll)
        return self._bounded(pause, now)

    def failed(self, error: ConnectionFailed | GatewayRefused, now: float) -> float:
        """Return the delay until the next try; raises the error if a retry is useless, or `WaitTimedOut`."""
        pause = retry_delay(error, self._poll)
        self._outage.begin(now)
        try:
            pause = self._bounded(pause, now)
        except WaitTimedOut as timed_out:
            raise timed_out from error
        self._outage.check(error, now + pause)
        return pause

    def _bounded(self, pause: float, now: float) -> float:
        if self._until is None:
            return pause
        if now >= self._until:
            status = "its progress is unknown" if self._progress is None else f"it is {self._progress.status}"
            raise WaitTimedOut(f"the batch had not ended after {self._timeout:g} s: {status}", self._progress)
        return min(pause, self._until - now)
