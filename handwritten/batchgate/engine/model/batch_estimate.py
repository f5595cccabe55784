"""What a batch would need: its tokens, its cost in each lane, and its duration."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.request_fault import RequestFault


class LaneCost(Struct, frozen=True, kw_only=True):
    """What requests would cost in a lane, in nano-dollars."""

    input: int
    """Their input alone."""
    expected: int | None
    """With answers as long as earlier ones of the models; None if one of them has answered nothing before."""
    most: int | None
    """With answers as long as the requests allow; None if some requests do not bound their answers."""
    unpriced: int
    """Requests that are not counted, because no price is known for their model, or they count no tokens."""


class ModelEstimate(Struct, frozen=True, kw_only=True):
    """The requests for one model of one account."""

    account: str | None
    """None for a sum of several accounts or models."""
    model: str | None
    requests: int
    input_tokens: int
    output_tokens: int | None
    """The tokens of all answers together, if they are as long as earlier ones of the models."""
    output_limit: int | None
    """The most tokens of all answers together; None if some requests do not bound their answers."""
    direct: LaneCost
    native: LaneCost | None
    """What they cost if those that can travel in jobs do, and the others are called; None if none can."""


class Durations(Struct, frozen=True, kw_only=True):
    """How long a batch would take if it ran alone, in seconds; None is not known."""

    direct: float | None
    native: float | None
    """The time in which the providers promise to end their jobs, at most."""


class BatchEstimate(Struct, frozen=True, kw_only=True):
    """What a batch would need, and which of its requests cannot be sent."""

    requests: int
    """All requests, also those with faults."""
    fault_count: int
    faults: Sequence[RequestFault]
    """The first faults."""
    lanes: Sequence[LanePart]
    """Which lanes the requests would take, and why."""
    not_native: Sequence[LanePart]
    """Which requests no job takes in the lane ``native``, and why."""
    models: Sequence[ModelEstimate]
    total: ModelEstimate
    durations: Durations
