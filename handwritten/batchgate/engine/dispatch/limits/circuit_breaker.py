"""A stop until one call, tried now and then, goes well: for a key that is rejected, or a provider that is down."""

from __future__ import annotations

import logging
import random
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.outcome import Outcome, OutcomeKind
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.health_report import AccountPause

logger = logging.getLogger(__name__)

FIRST_PROBE: Final = 1.0  # seconds
LONGEST: Final = 60.0  # seconds between two probes
LONGEST_WHILE_DOWN: Final = 10.0  # seconds likewise; neither a connection nor a fault costs anybody anything
DOWN: Final = frozenset({OutcomeKind.DOWN, OutcomeKind.FAULTED})


class CircuitBreaker:
    """Begins when a number of calls in a row have ended in one of its causes; one probe at a time may end it."""

    __slots__ = (
        "_causes",
        "_chance",
        "_clock",
        "_component",
        "_delay",
        "_fields",
        "_probe",
        "_probe_at",
        "_since",
        "_strikes",
        "_strikes_left",
        "calm",
        "pause",
        "what",
    )

    def __init__(
        self,
        account: str,
        model: str | None,
        causes: frozenset[OutcomeKind],
        strikes: int,
        chance: random.Random,
        clock: Clock,
    ) -> None:
        self.what = f"account {account!r}" if model is None else f"model {model!r} of account {account!r}"
        """What is paused, in words."""
        self.pause: AccountPause | None = None
        """Why it is paused, if it is."""
        self.calm = True
        """Whether it is neither paused nor near to it; if so, successes need not be told."""
        self._fields = {"account": account} | ({} if model is None else {"model": model})
        self._causes = causes
        self._strikes = self._strikes_left = strikes
        self._chance = chance
        self._clock = clock
        self._component = f"account/{account}" if model is None else f"account/{account}/{model}"
        self._since = -inf
        self._delay = FIRST_PROBE
        self._probe: Permit | None = None
        self._probe_at = -inf

    @property
    def probe_at(self) -> float:
        """When the next probe may go: not before the last one has ended."""
        return inf if self._probe is not None else self._probe_at

    def probed_by(self, ticket: Permit) -> None:
        """Make a call the probe, if one is needed."""
        if self.pause is not None:
            self._probe = ticket
            ticket.probe = True

    def heard(self, ticket: Permit, outcome: Outcome, now: float) -> bool:
        """Learn how a call ended; True when that changes what may go."""
        if outcome.kind in self._causes:
            if ticket.entered >= self._since:
                self._failed(outcome, now)
                return self.pause is not None
        elif outcome.works:
            return self._worked(ticket)
        if ticket is not self._probe:
            return False
        self._probe = None
        if outcome.kind is not OutcomeKind.ABANDONED:
            self._wait(now, min(LONGEST, 2 * self._delay))
        return True

    def _worked(self, ticket: Permit) -> bool:
        if ticket.entered < self._since:
            return False
        self.calm = True
        self._strikes_left = self._strikes
        if self.pause is None:
            return False
        logger.info("%s is resumed", self.what, extra={"action": "account_resumed", **self._fields})
        self.pause = self._probe = None
        return True

    def _failed(self, outcome: Outcome, now: float) -> None:
        self.calm = False
        self._strikes_left -= 1
        if self._strikes_left > 0:
            return
        if self.pause is None:
            fields = {"action": "account_paused", **self._fields}
            logger.warning("%s is paused: %s", self.what, outcome.reason, extra=fields)
            delay = FIRST_PROBE
        else:
            delay = min(LONGEST_WHILE_DOWN if outcome.kind in DOWN else LONGEST, 2 * self._delay)
        self.pause = self._pause_for(outcome)
        self._wait(now, delay)

    def _pause_for(self, outcome: Outcome) -> AccountPause:
        return AccountPause(
            code=outcome.pause_code,
            component=self._component,
            since=self._clock.now() if self.pause is None else self.pause.since,
            reason=f"{self.what} is paused: {outcome.reason}",
        )

    def _wait(self, now: float, delay: float) -> None:
        """Set the time of the next probe; how calls end that began before now says nothing new."""
        self._since = now
        self._probe = None
        self._delay = delay
        self._probe_at = now + delay * self._chance.uniform(0.75, 1.0)
