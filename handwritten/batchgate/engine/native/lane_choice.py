"""Chooses the lane of a request: one call, or a row of a job of the provider's batch API."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.dispatch.executor import PreparedRequest, request_row
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import HOUR, MICROSECONDS

MIN_REQUESTS: Final = 20
"""Requests of one model below which a job gains little and adds hours of waiting, in the lane ``auto``."""
MIN_TIME: Final = 2 * HOUR
"""Microseconds before its expiry from which on a batch runs directly, in the lane ``auto``."""


class Choice(Struct, frozen=True):
    """The lane of one request, and why it is the direct one."""

    native: bool
    reason: str | None = None


NATIVE: Final = Choice(native=True)


def choose_lane(batch: Batch, request: PreparedRequest, *, now: int) -> Choice:
    """Return the lane of a request, before it is known how many others go with it."""
    endpoint = request.route.endpoint
    lane = lane_of(batch.options, endpoint)
    if lane == "direct":
        return Choice(native=False, reason="the lane is direct")
    if endpoint.batches is None:
        return Choice(native=False, reason=f"account {endpoint.account.name!r} has no batch API")
    if lane == "auto" and endpoint.batches.limits.discount >= 1:
        return Choice(native=False, reason="the provider's batch API is not cheaper")
    if lane == "auto" and batch.expires_at - now < MIN_TIME:
        return Choice(native=False, reason=f"the batch expires within {MIN_TIME // MICROSECONDS // 3600} hours")
    refusal = endpoint.batches.refusal(request_row(batch, request))
    if refusal is not None:
        return Choice(native=False, reason=refusal)
    if batch.options.kind == "responses" and endpoint.batches.sent_kind("responses") != "responses":
        # The translation of an answer needs its request, and results come in any order.
        return Choice(native=False, reason="url: Responses are translated for this provider; their lane is direct")
    return NATIVE


def min_requests(batch: Batch, endpoint: AccountEndpoint) -> int:
    """Return the number of requests from which on a group of them goes native."""
    return MIN_REQUESTS if lane_of(batch.options, endpoint) == "auto" else 1
