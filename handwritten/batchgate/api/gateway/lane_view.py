"""Which requests take which lane, as callers see it."""

from __future__ import annotations

from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.lane import LanePart
from batchgate_api import gateway


def lane_view(options: BatchOptions, part: LanePart) -> gateway.LanePart:
    """Return a part of the requests of a batch with these options."""
    return gateway.LanePart(
        account=part.account,
        model=part.model,
        endpoint=options.endpoint or "/v1/messages",
        lane=part.lane,
        code=part.reason.code,
        reason=part.reason.text,
        requests=part.requests,
    )
