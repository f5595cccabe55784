"""Counts the requests of a batch by the lane that they take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.lane import LanePart, LaneReason, TakenLane

MAX_PARTS: Final = 50
"""Parts that are kept apart; more are summed up by lane and code."""
SUMMED_UP: Final = "other requests, summed up"


class LaneParts:
    """The parts of a batch; their number is bounded, whatever models its requests name."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str | None, str | None, TakenLane, LaneReason], int] = {}

    def add(self, key: tuple[str, str], lane: TakenLane, reason: LaneReason, requests: int = 1) -> None:
        """Count requests for a model of an account."""
        account, model = key
        part: tuple[str | None, str | None, TakenLane, LaneReason] = (account, model, lane, reason)
        if part not in self._counts and len(self._counts) >= MAX_PARTS:
            part = (None, None, lane, LaneReason(reason.code, SUMMED_UP))
        self._counts[part] = self._counts.get(part, 0) + requests

    def listed(self) -> Sequence[LanePart]:
        """Return the parts, the largest first, and those that are summed up at the end."""
        parts = [
            LanePart(account=account, model=model, lane=lane, reason=reason, requests=requests)
            for (account, model, lane, reason), requests in self._counts.items()
        ]
        return tuple(sorted(parts, key=lambda part: (part.account is None, -part.requests)))
