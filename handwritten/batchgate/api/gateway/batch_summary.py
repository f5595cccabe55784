"""A batch of any dialect, as the gateway's own operations show it in a list, and events carry it."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.api.gateway.forecast_view import forecast_view
from batchgate.api.gateway.pause_view import pause_view
from batchgate.api.gateway.retried_calls_view import retried_calls_view
from batchgate.api.metadata import metadata_view
from batchgate.api.spend_view import spend_view
from batchgate.engine.model.batch import Batch, BatchPause
from batchgate.engine.model.forecast import Forecast
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.times import rfc3339, rfc3339_or_none
from batchgate_api import gateway


def batch_summary(
    batch: Batch, paused: BatchPause | AccountPause | None, forecast: Forecast | None, jobs: Sequence[NativeJob]
) -> gateway.BatchSummary:
    """Return what a list shows of a batch with these active jobs, which may be paused, or wait for its account."""
    return gateway.BatchSummary(
        id=batch.id,
        name=batch.options.batch_name,
        metadata=metadata_view(batch),
        parent=batch.parent,
        status=batch.status,
        model=batch.model,
        account=batch.provider,
        total=batch.counts.total,
        succeeded=batch.counts.succeeded,
        errored=batch.counts.errored,
        canceled=batch.counts.canceled,
        expired=batch.counts.expired,
        paused=None if paused is None else pause_view(paused, jobs),
        spent=spend_view(batch.spend),
        forecast=forecast_view(forecast),
        created_at=rfc3339(batch.created_at),
        expires_at=rfc3339(batch.expires_at),
        ended_at=rfc3339_or_none(batch.ended_at),
        retried_calls=retried_calls_view(batch),
    )
