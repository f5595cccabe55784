"""Whether and when a request is sent again after a call for it has failed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits import Outcome, OutcomeKind
from batchgate.engine.model.errors import UpstreamError

FIRST_DELAY: Final = 0.5  # seconds
LONGEST_DELAY: Final = 60.0  # seconds
TRIES: Final = 5
"""How often a request is sent when it keeps failing in ways that are not a matter of load."""
PATIENCE: Final = 4 * 3600.0
"""Seconds for which faults are not held against a request while the provider serves no other one either."""
REJECTIONS: Final[Mapping[OutcomeKind, int]] = {OutcomeKind.FORBIDDEN: 2, OutcomeKind.REJECTED: 3}
"""How often a request is turned away, with others served in between, before it is blamed itself.

A key may be revoked twice in the life of a request; that a request is forbidden is likely to be its own fault.
"""


class Retries:
    """The tries of one request. Refusals for load are not counted: the deadline ends them, with the whole task."""

    __slots__ = (
        "_chance",
        "_failures",
        "_faulty_since",
        "_refusals",
        "_rejected_at",
        "_turns",
        "again",
        "refused",
        "rejections",
        "rest",
    )

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._failures = 0
        self._faulty_since = inf
        self._refusals = 0
        self._rejected_at = inf
        self._turns = 0
        """How often the provider turned the account away on it."""
        self.again = True
        """Whether there shall be another try."""
        self.rejections = 0
        """How often it found the provider closed to all, or to it; such requests let others go first."""
        self.rest = 0.0
        """Seconds to wait before the next try."""
        self.refused = False
        """Whether that is because of the provider's load."""

    def failed(self, error: UpstreamError, outcome: Outcome, *, now: float, served_since: float) -> None:
        """Learn of a failed call; the last one that was served began at ``served_since``."""
        self.refused, self.rest = False, 0.0
        match outcome.kind:
            case OutcomeKind.DOWN:
                self.again = error.retry_safe
            case OutcomeKind.REJECTED | OutcomeKind.FORBIDDEN:
                self._turned_away(REJECTIONS[outcome.kind], now, served_since)
            case OutcomeKind.FAULTED:
                self._faulted(now, served_since)
                self.rest = self._delay(error.retry_after, max(1, self._failures))
            case OutcomeKind.REFUSED:
                self.refused = True
                self._refusals += 1
                self.rest = self._delay(error.retry_after, self._refusals)
                self.again = error.retry_safe
            case _:
                self._failures += 1
                self.rest = self._delay(error.retry_after, self._failures)
                self.again = error.retry_safe and self._failures < TRIES

    def _turned_away(self, most: int, now: float, served_since: float) -> None:
        """Blame the account, which is paused for it, unless others have been let in since the last time."""
        if self._turns == 0 or served_since > self._rejected_at:
            self._turns += 1
            self.rejections += 1
            self._rejected_at = now
            self.rest = FIRST_DELAY
        self.again = self._turns < most

    def _faulted(self, now: float, served_since: float) -> None:
        """Blame the request, unless it is an outage, as nothing is served now: then let others be tried."""
        self._faulty_since = min(self._faulty_since, now)
        if served_since >= now:
            self._failures += 1
            self.again = self._failures < TRIES
        else:
            self.rejections += 1
            self.again = now - self._faulty_since < PATIENCE

    def _delay(self, retry_after: float | None, times: int) -> float:
        if retry_after is not None:
            return retry_after * self._chance.uniform(1.0, 1.1)
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(times - 1, 10)) * self._chance.uniform(0.5, 1.0)
