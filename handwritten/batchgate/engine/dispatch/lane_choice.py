"""Chooses the lane of a request: one call, or a row of a job of the provider's batch API."""

from __future__ import annotations

from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of, reason_of_account
from batchgate.engine.dispatch.prepared_request import PreparedRequest, request_row
from batchgate.engine.dispatch.result_builder import INTERNAL_ERROR, log_internal_error
from batchgate.engine.dispatch.router import Route
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.model.lane import LaneReason
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, ProviderBatches

MIN_TIME: Final = 2 * HOUR
"""Microseconds before its expiry from which on a batch runs directly, in the lane ``auto``."""
ENVELOPE: Final = 320
"""Bytes that a row of a job may have more than its input line: our id, the path, another spelling of a field."""
USED_PART: Final = 0.9
"""The part of a provider's limit of bytes that a plan fills, since a translated row may be larger than its line."""


def reason_to_call(batch: Batch, request: PreparedRequest, size: int, *, now: int) -> LaneReason | None:
    """Return why a request with an input line of ``size`` bytes cannot travel in a job; None if it can.

    In the lane ``native`` it then ends with an error that has this reason.
    """
    return reason_of_route(batch, request.route, now=now) or reason_of_request(batch, request, size)


def reason_of_route(batch: Batch, route: Route, *, now: int) -> LaneReason | None:
    """Return why no request of a batch on a route can travel in a job, whatever it contains; None if some may."""
    endpoint = route.endpoint
    reason = reason_of_account(batch.options, endpoint)
    if reason is None and lane_of(batch.options, endpoint) == "auto":
        reason = _loss(batch, route, now)
    return reason or _undeployed(route)


def _loss(batch: Batch, route: Route, now: int) -> LaneReason | None:
    """Return why a job would cost more than it saves."""
    if not route.endpoint.prices.native_is_cheaper(route.model):
        return LaneReason("not_cheaper", "the provider's batch API is not cheaper")
    if batch.expires_at - now < MIN_TIME:
        hours = MIN_TIME // MICROSECONDS // 3600
        return LaneReason("expires_soon", f"the batch expires within {hours} hours")
    return None


def _undeployed(route: Route) -> LaneReason | None:
    """Refuse a model that the account has not deployed for the batch API."""
    account = route.endpoint.account
    if account.deployment(route.model).native is not None:
        return None
    return LaneReason("not_accepted", f"model: account {account.name!r} has no deployment of it for jobs")


def reason_of_request(batch: Batch, request: PreparedRequest, size: int) -> LaneReason | None:
    """Return why the batch API does not take a request whose route has no reason against it; None if it does.

    An unforeseen error is a reason too: it must not keep the other requests of the batch from their lanes.
    """
    batches = request.route.endpoint.batches
    assert batches is not None  # else the route has a reason
    try:
        return _obstacle(batch, request, size, batches)
    except Exception as error:  # noqa: BLE001 - after any error the request must have a lane
        log_internal_error(batch, request.seq, error)
        return LaneReason("not_accepted", INTERNAL_ERROR)


def _obstacle(batch: Batch, request: PreparedRequest, size: int, batches: ProviderBatches) -> LaneReason | None:
    refusal = batches.refusal(request_row(batch, request)) or refusal_of_kind(batch.options.kind, batches)
    if refusal is not None:
        return LaneReason("not_accepted", refusal)
    largest = largest_row(batches.limits)
    if size + ENVELOPE > largest:
        return LaneReason("too_large", f"body: a job takes requests of at most {largest - ENVELOPE} bytes")
    return None


def refusal_of_kind(kind: RowKind, batches: ProviderBatches) -> str | None:
    """Return why a kind is refused whose answers can only be translated beside requests: results come in any order."""
    if kind == "responses" and batches.sent_kind("responses") != "responses":
        return "url: Responses are translated for this provider"
    return None


def largest_row(limits: LaneLimits) -> int:
    """Return the bytes that a row of a job may have."""
    return min(limits.max_row_bytes, int(USED_PART * limits.max_bytes))


def reason_to_batch(*, is_asked_for: bool) -> LaneReason:
    """Return why requests travel in jobs that can; ``is_asked_for``: in the lane ``native``."""
    if is_asked_for:
        return LaneReason("lane_native", "the lane is native")
    return LaneReason("cheaper", "the provider's batch API is cheaper")


def reason_for_size(batch: Batch, endpoint: AccountEndpoint, requests: int) -> LaneReason | None:
    """Return why so many requests for one model are in no job, although it would take them; None if they are enough."""
    least = endpoint.min_job_requests
    if lane_of(batch.options, endpoint) == "auto":
        least = max(least, endpoint.account.native_min_requests)
    if requests >= least:
        return None
    return LaneReason("too_few_requests", f"the batch has fewer than {least} such requests for the model")
