"""How many calls of a batch were made again, as the gateway's own operations show it."""

from __future__ import annotations

from batchgate.engine.model.batch import Batch
from batchgate_api import gateway


def retried_calls_view(batch: Batch) -> list[gateway.RetriedCalls]:
    """Return how many calls of a batch failed and were made again, by reason."""
    return [gateway.RetriedCalls(reason=calls.reason, count=calls.count) for calls in batch.retried_calls]
