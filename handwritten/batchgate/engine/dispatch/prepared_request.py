"""A request of a batch that has been read and routed, but not sent."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.dispatch.router import Route
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.ports.rows import InputRow


class PreparedRequest(Struct, frozen=True):
    """A request that has been read, and its route."""

    seq: int
    row: InputRow
    route: Route


def request_row(batch: Batch, request: PreparedRequest) -> RequestRow:
    """Return a request as the handler of its provider encodes it."""
    return RequestRow(
        custom_id=request.row.custom_id,
        params=request.row.params,
        model=request.route.model,
        headers=batch.headers,
        kind=batch.options.kind,
        url=request.row.url,
    )
