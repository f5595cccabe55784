"""Runs one job from its plan to its end.

Each step is stored before the next one, so a crash at any of them loses neither the job nor its results.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final, Literal

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import BlobError, RequestError, StaleClaim, StoreError, UpstreamError
from batchgate.engine.model.native_job import FINAL_STATES, NativeJob
from batchgate.engine.native.collector import Collected, Collector
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_record import JobRecord, NativeServices
from batchgate.engine.native.job_rows import JobRows
from batchgate.engine.native.job_submission import JobSubmission
from batchgate.engine.native.job_watch import JobWatch
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob

logger = logging.getLogger(__name__)

FIRST_RETRY: Final = 2.0  # seconds before the second attempt at a call that failed; they double
LAST_RETRY: Final = 60.0
MARGIN: Final = 2
RESERVE: Final = 900 * MICROSECONDS
"""A batch is rescued when the time left is less than the direct lane would need, `MARGIN` times, and this more."""


class JobRun:
    """One job in the hands of this process."""

    def __init__(self, job: NativeJob, ledger: EnqueuedTokens, services: NativeServices) -> None:
        self._record = JobRecord(job, services)
        self._ledger = ledger
        self._services = services
        self._submission = JobSubmission(self._record, ledger, services)
        self._watch = JobWatch(self._record, ledger, services)
        self._failures = 0
        if job.state != "planned":
            ledger.reserve(job.token, job.tokens)

    @property
    def batch_key(self) -> int:
        """The key of its batch."""
        return self._record.job.batch_key

    def wake(self) -> None:
        """Look at the batch now: it was canceled, or has expired."""
        self._record.wake()

    async def run(self) -> None:
        """Run the job to its end; returns early if another process has taken it over."""
        component = f"native job {self._record.job.token}"
        while self._record.job.state not in FINAL_STATES:
            try:
                await self._step()
            except StaleClaim:
                break
            except (StoreError, BlobError, UpstreamError) as error:
                self._services.report("native jobs", error, of=component)
                await self._pause_after_failure(error)
            except Exception as error:
                fields = {"action": "native_job_failed", "account": self._record.job.account}
                logger.exception("a job of the native lane failed with an internal error", extra=fields)
                self._services.report("native jobs", error, of=component)
                await self._pause_after_failure(error)
            else:
                self._failures = 0
                self._services.report("native jobs", None, of=component)
        self._ledger.release(self._record.job.token)

    async def _pause_after_failure(self, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, UpstreamError) else None
        delay = min(LAST_RETRY, FIRST_RETRY * 2**self._failures)
        self._failures += 1
        await self._record.sleep(max(delay, asked or 0.0))

    async def _step(self) -> None:
        self._record.begin_step()
        batch = await self._services.store.find_batch_by_key(self._record.job.batch_key)
        endpoint = self._services.router.endpoint(self._record.job.account)
        if batch is None or endpoint is None or endpoint.batches is None:
            await self._record.end("withdrawn", "its batch or its account is gone")
            return
        stop = self._reason_to_stop(batch)
        match self._record.job.state:
            case "planned" if stop:
                await self._record.end("withdrawn", stop)
            case "planned":
                await self._submission.submit_when_there_is_room(batch, endpoint, endpoint.batches)
            case "submitting":
                await self._submission.resume(batch, endpoint, endpoint.batches, stop)
            case "running":
                await self._watch.watch(endpoint, endpoint.batches, stop)
            case "collecting":
                await self._collect(batch, endpoint, endpoint.batches)
            case _:
                raise AssertionError(self._record.job.state)

    def _reason_to_stop(self, batch: Batch) -> str | None:
        """Return why the job should not go on, if there is a reason."""
        if batch.status == "canceling":
            return "the batch was canceled"
        left = batch.expires_at - self._services.clock.now()
        if left <= 0:
            return "the batch has expired"
        endpoint = self._services.router.endpoint(self._record.job.account)
        if endpoint is None or lane_of(batch.options, endpoint) != "auto":
            return None
        job = self._record.job
        needed = self._services.executor.rate.seconds_for(job.account, job.model, job.requests)
        if left < MARGIN * needed * MICROSECONDS + RESERVE:
            return "the time left is what the direct lane needs"
        return None

    async def _collect(self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches) -> None:
        upstream = await batches.poll(endpoint.account, self._record.job)
        if upstream is None:
            await self._record.end("failed", "the provider no longer knows it")
            return
        claims = await self._services.store.list_shards(batch)
        rows = JobRows(batch, self._record.job, claims, self._services.blobs)
        collector = Collector(
            batch,
            self._record.job,
            claims,
            endpoint=endpoint,
            store=self._services.store,
            results=self._services.executor.results,
            keeps_errors=lane_of(batch.options, endpoint) == "native",
        )
        custom_ids = await rows.custom_ids(self._services.executor)
        found = await collector.collect(upstream, custom_ids)
        reason = self._reason_for(upstream, found)
        state: Literal["done", "failed"] = "failed" if found.missing else "done"
        await self._record.save(answered=found.answered)
        if found.missing and lane_of(batch.options, endpoint) == "native" and batch.status == "in_progress":
            error = RequestError("api_error", f"the provider's batch job gave no answer: {reason}")
            await collector.end_unanswered(has_expired=upstream.outcome == "expired", error=error)
        await self._record.end(state, reason)
        with suppress(UpstreamError):
            await batches.discard(endpoint.account, self._record.job, upstream)

    def _reason_for(self, upstream: UpstreamJob, found: Collected) -> str | None:
        """Return why a job has not answered all requests; None if it has."""
        if not found.missing:
            return None
        if self._record.job.reason:
            return self._record.job.reason
        if upstream.faults:
            return "; ".join(f"{fault.code}: {fault.message}" for fault in upstream.faults[:3])
        missing, requests = len(found.missing), self._record.job.requests
        return f"it ended as {upstream.status} with {missing} of {requests} requests unanswered"
