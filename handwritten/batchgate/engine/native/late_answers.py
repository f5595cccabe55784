"""Counts the requests that a job answered after it was given up, when others had been called in their place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.dispatch.result_builder import log_internal_error
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.native_job import NativeJob, seq_of, unpack_set
from batchgate.engine.model.price import UNPRICED, Spend, total_spend
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.native.job_record import NativeServices
from batchgate.engine.native.measured_calls import measured
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob


class LateAnswers:
    """Reads the results of a rescued job once more, before they are deleted; none of them is stored."""

    def __init__(self, services: NativeServices) -> None:
        self._services = services

    async def count(
        self,
        batch: Batch,
        job: NativeJob,
        upstream: UpstreamJob | None,
        endpoint: AccountEndpoint,
        batches: ProviderBatches,
    ) -> bool:
        """Count the late answers of a job that has ended upstream; False if that has to wait for the end of its batch.

        Raises `UpstreamError` or `StoreError`. A request may have expired before it was called directly: so no more are
        counted as paid twice than the batch has answers.
        """
        if upstream is None or not _is_rescued(job, batch, endpoint):
            return True
        if batch.ended_at is None:
            return False
        with measured(self._services.telemetry, batch, job, "collect"):
            spends = await self._spends(job, upstream, batch, endpoint, batches)
        late = max(0, len(spends) - job.answered)
        if late:
            await self._store(job, batch, late, spends)
        return True

    async def _store(self, job: NativeJob, batch: Batch, late: int, spends: Mapping[int, Spend]) -> None:
        # The rows that were stored are among these: the mean is exact if there were none, which is so if it still ran.
        total = total_spend(spends.values())
        cost = total.native * late // len(spends)
        now, twice = self._services.clock.now(), min(late, batch.counts.succeeded)
        spend = Spend(native=cost, saved=-cost, unpriced=total.unpriced * late // len(spends))
        await self._services.store.count_paid_twice(job, paid_twice=twice, spend=spend, now=now)
        self._services.telemetry.native_paid_twice(batch, job, twice, spend)

    async def _spends(
        self, job: NativeJob, upstream: UpstreamJob, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches
    ) -> dict[int, Spend]:
        """Return what each answered request has cost, by seq."""
        seqs, spends = frozenset(unpack_set(job.seqs)), dict[int, Spend]()
        try:
            async with aclosing(batches.results(endpoint.account, job, upstream)) as groups:
                async for group in groups:
                    for result in group:
                        seq = seq_of(job.token, result.row_id)
                        if seq is not None and seq in seqs and result.response is not None:
                            spend = self._spend(job, batch, seq, endpoint, result.response)
                            spends |= {} if spend is None else {seq: spend}
                    await asyncio.sleep(0)
        except UpstreamError as error:
            if error.status != 404:  # else a file is gone
                raise
        return spends

    def _spend(
        self, job: NativeJob, batch: Batch, seq: int, endpoint: AccountEndpoint, response: UpstreamResponse
    ) -> Spend | None:
        """Return what an answer has cost, if it can be read; None for an error, which is not billed."""
        kind = batch.options.kind
        row = RequestRow(custom_id="", params=b"{}", model=job.model, headers=batch.headers, kind=kind)
        try:
            answer = endpoint.handler.decode(row, response)
            prices, called = endpoint.prices.find(job.model), CalledModel(job.account, job.model)
            results = self._services.executor.results
            stated = endpoint.meter.stated_cost(response, native=True)
            return results.succeeded(
                batch, seq, "", answer, called=called, prices=prices, native=True, stated_cost=stated
            ).spend
        except UpstreamError:
            return None
        except Exception as error:  # noqa: BLE001 - no error of one answer may keep the job at the provider
            log_internal_error(batch, seq, error)
            return UNPRICED


def _is_rescued(job: NativeJob, batch: Batch, endpoint: AccountEndpoint) -> bool:
    """Check if the requests that the job had not answered when it ended here were called, or went into another job."""
    was_stopped = job.cancel_requested_at is not None or job.submitted_at is None
    ended_at = job.ended_at or 0
    is_open = job.paid_twice is None and job.state != "done"
    is_answered_otherwise = job.replans or lane_of(batch.options, endpoint) != "native"
    return is_open and was_stopped and is_answered_otherwise and ended_at < batch.stopped_at
