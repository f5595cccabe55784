"""How often to ask for the progress of a batch, and for how long; it knows neither clock nor network."""

from __future__ import annotations

from typing import Final

from batchgate_client.models import BatchProgress
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, WaitTimedOut

FINAL: Final = frozenset({"ended", "failed"})
"""Statuses that a batch keeps."""
SHORTEST_PAUSE: Final = 0.1  # seconds
GROWTH: Final = 1.5
PATIENCE: Final = 60.0
"""Seconds for which a gateway may be away or refuse for load, such as in a restart, before the waiting ends."""
ANSWER_WITHIN: Final = 30.0
"""Seconds that one poll may take, whatever the client's own timeout."""
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class Polling:
    """The decisions of one `wait`; all times are seconds on one clock."""

    def __init__(self, *, poll: float, timeout: float | None, now: float) -> None:
        if poll <= 0:
            raise ValueError(f"poll: a number of seconds above 0, not {poll}")
        self._poll = poll
        self._timeout = timeout
        self._until = None if timeout is None else now + timeout
        self._pause = min(SHORTEST_PAUSE, poll)
        self._away_since: float | None = None
        self._progress: BatchProgress | None = None

    def within(self, now: float) -> float:
        """Return how long the next poll may take."""
        return ANSWER_WITHIN if self._until is None else max(0.001, min(ANSWER_WITHIN, self._until - now))

    def answered(self, progress: BatchProgress, now: float) -> float:
        """Return after how long to ask again after a batch that is not final; raises `WaitTimedOut`."""
        self._away_since = None
        self._progress = progress
        pause = self._pause
        self._pause = min(self._pause * GROWTH, self._poll)
        return self._bounded(pause, now)

    def failed(self, error: ConnectionFailed | GatewayRefused, now: float) -> float:
        """Return after how long to try again; raises the error when that is no use, or `WaitTimedOut`."""
        pause = self._poll
        if isinstance(error, GatewayRefused):
            if error.status != _TOO_MANY and error.status < _SERVER_ERROR:
                raise error
            pause = max(pause, error.refusal.retry_after or 0)
        self._away_since = now if self._away_since is None else self._away_since
        try:
            pause = self._bounded(pause, now)
        except WaitTimedOut as timed_out:
            raise timed_out from error
        if now + pause > self._away_since + PATIENCE:
            raise error
        return pause

    def _bounded(self, pause: float, now: float) -> float:
        if self._until is None:
            return pause
        if now >= self._until:
            status = "nothing is known of it" if self._progress is None else f"it is {self._progress.status}"
            raise WaitTimedOut(f"the batch had not ended after {self._timeout:g} s: {status}", self._progress)
        return min(pause, self._until - now)
