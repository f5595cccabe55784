"""Logs that calls fail and their requests wait: one line a minute for each model of an account, without messages."""

from __future__ import annotations

import logging
from math import inf
from typing import Final

from msgspec import Struct

from batchgate.engine.model.health_report import Refusal

logger = logging.getLogger(__name__)

INTERVAL: Final = 60.0
"""Seconds between two lines about one model of an account."""
MAX_MODELS: Final = 1_000
"""Models beyond which the counts of all are dropped: their number depends on the callers."""


class _Unlogged(Struct):
    logged_at: float = -inf
    refusals: int = 0


class RefusalLog:
    """Counts refusals by account and model, and logs them at a bounded rate.

    A provider's message may quote a prompt, so the line has only its class and status; progress shows the message.
    """

    def __init__(self) -> None:
        self._unlogged: dict[tuple[str, str], _Unlogged] = {}

    def record(self, refusal: Refusal, now: float) -> None:
        """Count a refusal, and log it with those before it if the last line is old enough."""
        if len(self._unlogged) >= MAX_MODELS:
            self._unlogged.clear()
        counts = self._unlogged.setdefault((refusal.account, refusal.model), _Unlogged())
        counts.refusals += 1
        if now - counts.logged_at < INTERVAL:
            return
        fields = {"action": "requests_wait", "account": refusal.account, "model": refusal.model, "reason": refusal.kind}
        logger.info(
            "calls to model %r of account %r fail and are retried: %s (%d); %d since the last such line",
            refusal.model,
            refusal.account,
            refusal.kind,
            refusal.status,
            counts.refusals,
            extra=fields,
        )
        counts.logged_at, counts.refusals = now, 0
