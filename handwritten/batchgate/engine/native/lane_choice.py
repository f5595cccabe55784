"""Chooses the lane of a request: one call, or a row of a job of the provider's batch API."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.dispatch.executor import PreparedRequest, request_row
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.ports.provider_batches import ProviderBatches

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
    reason = _loss(batch, endpoint.batches, now) if lane == "auto" else None
    reason = reason or endpoint.batches.refusal(request_row(batch, request)) or _translated(batch, endpoint.batches)
    return NATIVE if reason is None else Choice(native=False, reason=reason)


def _loss(batch: Batch, batches: ProviderBatches, now: int) -> str | None:
    """Return why a job would cost more than it saves."""
    if batches.limits.discount >= 1:
        return "the provider's batch API is not cheaper"
    if batch.expires_at - now < MIN_TIME:
        return f"the batch expires within {MIN_TIME // MICROSECONDS // 3600} hours"
    return None


def _translated(batch: Batch, batches: ProviderBatches) -> str | None:
    """Refuse requests whose answers can only be translated beside them, since results come in any order."""
    if batch.options.kind == "responses" and batches.sent_kind("responses") != "responses":
        return "url: Responses are translated for this provider"
    return None


def min_requests(batch: Batch, endpoint: AccountEndpoint) -> int:
    """Return the number of requests from which on a group of them goes native."""
    return MIN_REQUESTS if lane_of(batch.options, endpoint) == "auto" else 1
