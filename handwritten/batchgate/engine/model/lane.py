"""The lanes: how the requests of a batch may run, and why they run so."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Lane: TypeAlias = Literal["auto", "direct", "native"]
"""One call for each request, jobs of the provider's own batch API, or whichever is cheaper and fits."""

TakenLane: TypeAlias = Literal["direct", "native", "none"]
"""How requests run; ``none``: no job takes them, and the lane ``native`` allows no call, so they end with an error."""

LaneCode: TypeAlias = Literal[
    "cheaper",
    "lane_native",
    "lane_direct",
    "no_batch_api",
    "not_cheaper",
    "expires_soon",
    "not_accepted",
    "too_large",
    "too_few_requests",
]
"""Why requests run in their lane."""


class LaneReason(Struct, frozen=True):
    """Why requests run in their lane, for programs and for people."""

    code: LaneCode
    text: str
    """One sentence; it begins with ``field: `` if a field of the request is the reason."""


class LanePart(Struct, frozen=True, kw_only=True):
    """Requests of a batch that run in the same lane for the same reason."""

    account: str | None
    """None for requests of several accounts or models that are summed up."""
    model: str | None
    lane: TakenLane
    reason: LaneReason
    requests: int
