"""What a batch would need, as callers see it."""

from __future__ import annotations

from batchgate.api.gateway.lane_view import lane_view
from batchgate.api.spend_view import dollars_or_none
from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.batch_estimate import BatchEstimate, LaneCost, ModelEstimate
from batchgate.engine.model.request_fault import RequestFault
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate_api import gateway


def estimate_view(estimate: BatchEstimate, options: BatchOptions, *, of_file: bool) -> gateway.BatchEstimate:
    """Return an estimate for callers; the places of its faults are lines if it is ``of_file``, or else indexes."""
    total, durations = estimate.total, estimate.durations
    return gateway.BatchEstimate(
        requests=estimate.requests,
        error_count=estimate.fault_count,
        errors=[_fault(fault, of_file=of_file) for fault in estimate.faults],
        input_tokens=total.input_tokens,
        expected_output_tokens=total.output_tokens,
        max_output_tokens=total.output_limit,
        direct=_lane_cost(total.direct),
        native=None if total.native is None else _lane_cost(total.native),
        models=[_model(model) for model in estimate.models],
        lanes=[lane_view(options, part) for part in estimate.lanes],
        not_native=[lane_view(options, part) for part in estimate.not_native],
        direct_seconds=None if durations.direct is None else round(durations.direct, 3),
        native_seconds=durations.native,
    )


def _fault(fault: RequestFault, *, of_file: bool) -> gateway.RequestFault:
    return gateway.RequestFault(
        index=None if of_file else fault.place,
        line=fault.place if of_file else None,
        custom_id=fault.custom_id,
        param=fault.param,
        code=fault.code,
        message=fault.message,
    )


def _model(model: ModelEstimate) -> gateway.ModelEstimate:
    return gateway.ModelEstimate(
        account=model.account,
        model=model.model,
        requests=model.requests,
        input_tokens=model.input_tokens,
        expected_output_tokens=model.output_tokens,
        max_output_tokens=model.output_limit,
        direct=_lane_cost(model.direct),
        native=None if model.native is None else _lane_cost(model.native),
    )


def _lane_cost(cost: LaneCost) -> gateway.LaneEstimate:
    return gateway.LaneEstimate(
        input_usd=cost.input / NANODOLLARS_PER_DOLLAR,
        expected_usd=dollars_or_none(cost.expected),
        max_usd=dollars_or_none(cost.most),
        unpriced=cost.unpriced,
    )
