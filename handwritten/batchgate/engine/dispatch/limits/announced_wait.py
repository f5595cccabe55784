"""What is shown and logged while calls wait because the provider announced it: by rate-limit headers or Retry-After."""

from __future__ import annotations

import logging
from typing import Final

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.provider_call import RemainingLimit

logger = logging.getLogger(__name__)

_MINUTE: Final = 60.0


class AnnouncedWait:
    """The wait of one model of one account; its begin and its end are logged once each."""

    __slots__ = ("_clock", "_component", "_fields", "_reason", "_since", "_subject")

    def __init__(self, account: str, model: str, clock: Clock) -> None:
        self._subject = f"model {model!r} of account {account!r}"
        self._component = f"account/{account}/{model}"
        self._fields = {"account": account, "model": model}
        self._clock = clock
        self._since: int | None = None
        self._reason = ""

    @property
    def active(self) -> bool:
        """Whether calls wait."""
        return self._since is not None

    @property
    def pause(self) -> AccountPause | None:
        """The wait as it is shown, if there is one."""
        if self._since is None:
            return None
        reason = f"{self._subject} is slowed down: {self._reason}"
        return AccountPause(code="rate_limited", component=self._component, since=self._since, reason=reason)

    def begin_pace(self, limit: RemainingLimit) -> None:
        """Record that calls are spread over the time until a limit resets."""
        left = f"{limit.remaining:.0f} {limit.unit}"
        self._begin(f"the provider reports {left} left for the next {_duration(limit.reset)}")

    def begin_cooldown(self, seconds: float, tried_every: float) -> None:
        """Record that the provider asked for a wait, during which one call now and then tries it."""
        tried = f"; one call every {_duration(tried_every)} tries it" if tried_every < seconds else ""
        self._begin(f"the provider asked to wait {_duration(seconds)}{tried}")

    def end(self) -> None:
        """Record that calls no longer wait for it."""
        if self._since is not None:
            self._since = None
            logger.info(
                "%s is no longer slowed down", self._subject, extra={"action": "rate_limit_ended", **self._fields}
            )

    def _begin(self, reason: str) -> None:
        self._reason = reason
        if self._since is None:
            self._since = self._clock.now()
            fields = {"action": "rate_limit_began", **self._fields}
            logger.warning("%s is slowed down: %s", self._subject, reason, extra=fields)


def _duration(seconds: float) -> str:
    """Return a duration in seconds, or in minutes from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} min"
