"""Chooses the lane of a request: one call, or a row of a job of the provider's batch API."""

from __future__ import annotations

from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.dispatch.executor import PreparedRequest, request_row
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.ports.provider_batches import ProviderBatches

MIN_REQUESTS: Final = 20
"""Requests of one model below which a job gains little and adds hours of waiting, in the lane ``auto``."""
MIN_TIME: Final = 2 * HOUR
"""Microseconds before its expiry from which on a batch runs directly, in the lane ``auto``."""


def reason_to_call(batch: Batch, request: PreparedRequest, *, now: int) -> str | None:
    """Return why a request cannot travel in a job; None if it can, with enough others."""
    endpoint = request.route.endpoint
    lane = lane_of(batch.options, endpoint)
    if lane == "direct":
        return "the lane is direct"
    if endpoint.batches is None:
        return f"account {endpoint.account.name!r} has no batch API"
    loss = _loss(batch, endpoint.batches, now) if lane == "auto" else None
    return loss or endpoint.batches.refusal(request_row(batch, request)) or _translated(batch, endpoint.batches)


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
