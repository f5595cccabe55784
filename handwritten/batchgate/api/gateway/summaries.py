"""Summaries of batches: the entries of a list, and what events carry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from batchgate.api.gateway.batch_summary import batch_summary
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.forecasts import Forecasts
from batchgate.engine.model.batch import Batch, BatchPause
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.native_job import NativeJob
from batchgate_api import gateway


class BatchSummaries:
    """Builds the summaries of batches."""

    def __init__(self, batches: Batches, forecasts: Forecasts, pause: Callable[[Batch], AccountPause | None]) -> None:
        self._batches = batches
        self._forecasts = forecasts
        self._pause = pause

    def pause(self, batch: Batch) -> BatchPause | AccountPause | None:
        """Return the pause of a batch, or of an account that it waits for."""
        return None if batch.ended_at is not None else batch.pause or self._pause(batch)

    async def of(self, batches: Sequence[Batch]) -> list[gateway.BatchSummary]:
        """Return the summaries of some batches."""
        jobs = await self._batches.active_jobs(batches)
        return [self._of(batch, jobs.get(batch.key, ())) for batch in batches]

    def _of(self, batch: Batch, jobs: Sequence[NativeJob]) -> gateway.BatchSummary:
        return batch_summary(batch, self.pause(batch), self._forecasts.of(batch, jobs), jobs)


SUMMARIES: Final = web.AppKey("summaries", BatchSummaries)
