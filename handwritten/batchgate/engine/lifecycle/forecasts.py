"""Forecasts of running batches, as the HTTP API shows them."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.forecast import Forecast, forecast
from batchgate.engine.model.native_job import NativeJob


class Forecasts:
    """Predicts the ends of batches from what the store says, so that any gateway can."""

    def __init__(self, clock: Clock, router: Router) -> None:
        self._clock = clock
        self._router = router

    def of(self, batch: Batch, jobs: Sequence[NativeJob]) -> Forecast | None:
        """Return what is expected of a batch with these jobs; None if it sends nothing, or nothing is known yet."""
        endpoints = {job.account: self._router.endpoint(job.account) for job in jobs}
        windows = {
            account: endpoint.batches.limits.window
            for account, endpoint in endpoints.items()
            if endpoint is not None and endpoint.batches is not None
        }
        return forecast(batch, jobs, windows, self._clock.now())
