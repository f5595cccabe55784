"""Runs one job from its plan to its end.

Each step is stored before the next one, so a crash at any of them loses neither the job nor its results.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Literal

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import BlobError, RequestError, StaleClaim, StoreError, UpstreamError, loggable_text
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
MAX_DOUBLINGS: Final = 5
MAX_NOT_FOUND: Final = 4
"""Attempts to read results that are not found; then they are gone."""
GIVE_UP: Final = 600 * MICROSECONDS
"""How long failed calls are tried again after a job should have stopped: its batch waits for its end."""
MARGIN: Final = 2
RESERVE: Final = 900 * MICROSECONDS
"""A batch is rescued when the time left is less than the direct lane would need, `MARGIN` times, and this more."""


class JobRun:
    """One job in the hands of this process."""

    def __init__(
        self,
        job: NativeJob,
        ledger: EnqueuedTokens,
        services: NativeServices,
        active: Callable[[], Iterable[NativeJob]] = tuple,
    ) -> None:
        self._record = JobRecord(job, services)
        self._active = active
        """Returns the active jobs, this one included."""
        self._ledger = ledger
        self._services = services
        self._submission = JobSubmission(self._record, ledger, services)
        self._watch = JobWatch(self._record, ledger, services)
        self._failures = 0
        self._not_found = 0
        self._stopped_at: int | None = None
        """When this process first saw that the job should stop."""
        if job.state != "planned":
            ledger.reserve(job.token, job.tokens)

    @property
    def job(self) -> NativeJob:
        """The job in its present state."""
        return self._record.job

    def wake(self) -> None:
        """Look at the batch now: it was canceled, or has expired. A job that is stopping knows; its polls stay rare."""
        if self._stopped_at is None:
            self._record.wake()

    async def run(self) -> None:
        """Run the job to its end; returns early if another process has taken it over."""
        component = f"native job {self._record.job.token}"
        try:
            while self._record.job.state not in FINAL_STATES:
                self._record.begin_step()
                await self._try_step(component)
        except StaleClaim:
            pass
        finally:
            self._ledger.release(self._record.job.token)
            self._services.report("native jobs", None, of=component)

    async def _try_step(self, component: str) -> None:
        """Make a step; after a failure, wait before the next one. Raises `StaleClaim`."""
        try:
            await self._step()
        except StaleClaim:
            raise
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

    async def _pause_after_failure(self, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, UpstreamError) else None
        delay = retry_delay(self._failures)
        self._failures += 1
        await self._record.sleep(max(delay, asked or 0.0))

    async def _step(self) -> None:
        """Make a step; a job that should have stopped long ago ends when it fails, since its batch waits for that."""
        batch = await self._services.store.find_batch_by_key(self._record.job.batch_key)
        endpoint = self._services.router.endpoint(self._record.job.account)
        if batch is None or endpoint is None or endpoint.batches is None:
            await self._record.end("withdrawn", "its batch or its account is gone")
            return
        stop = self._reason_to_stop(batch)
        self._stopped_at = None if stop is None else self._stopped_at or self._services.clock.now()
        try:
            await self._advance(batch, endpoint, endpoint.batches, stop)
        except StoreError:
            raise
        except Exception as error:
            if self._stopped_at is None or not self._services.clock.has_passed(self._stopped_at + GIVE_UP):
                raise
            fields = {"action": "native_job_given_up", "account": self._record.job.account}
            logger.exception("a job of the native lane could not be ended in time", extra=fields)
            await self._record.end("failed", f"{stop}; {_cause(error)}")

    async def _advance(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, stop: str | None
    ) -> None:
        """Do what comes next in the job's state."""
        match self._record.job.state:
            case "planned" if stop:
                await self._record.end("withdrawn", stop)
            case "planned":
                await self._submission.submit_when_there_is_room(batch, endpoint, batches)
            case "submitting":
                await self._submission.resume(batch, endpoint, batches, stop)
            case "running":
                await self._watch.watch(endpoint, batches, stop)
            case "collecting":
                await self._collect(batch, endpoint, batches)
            case _:
                raise AssertionError(self._record.job.state)

    def _reason_to_stop(self, batch: Batch) -> str | None:
        """Return why the job should not go on, if there is a reason."""
        if batch.status == "canceling":
            return "the batch was canceled"
        if self._services.clock.has_passed(batch.expires_at):
            return "the batch has expired"
        endpoint = self._services.router.endpoint(self._record.job.account)
        if endpoint is None or lane_of(batch.options, endpoint) != "auto":
            return None
        job = self._record.job
        needed = self._services.executor.rate.seconds_for(job.account, job.model, self._requests_of_batch())
        margin = round(MARGIN * needed * MICROSECONDS) + RESERVE
        if self._services.clock.has_passed(batch.expires_at - margin):
            return "the time left is what the direct lane needs"
        return None

    def _requests_of_batch(self) -> int:
        """Count the requests for this model in the active jobs of this batch: all may have to run directly."""
        own = self._record.job
        key = (own.batch_key, own.account, own.model)
        others = (job for job in self._active() if (job.batch_key, job.account, job.model) == key)
        return own.requests + sum(job.requests for job in others if job.token != own.token)

    async def _collect(self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches) -> None:
        upstream = await batches.poll(endpoint.account, self._record.job)
        if upstream is None:
            await self._watch.on_unknown(endpoint)
            return
        async with self._services.transfers:
            found = await self._store_results(batch, endpoint, upstream)
        if self._record.job.proven or found.is_ours:
            with suppress(UpstreamError):
                await batches.discard(endpoint.account, self._record.job, upstream)

    async def _store_results(self, batch: Batch, endpoint: AccountEndpoint, upstream: UpstreamJob) -> Collected:
        """Store the results of a job that has ended upstream, and end it."""
        claims = await self._services.store.list_shards(batch)
        rows = JobRows(batch, self._record.job, claims, self._services.blobs)
        collector = Collector(
            batch,
            self._record.job,
            claims,
            endpoint=endpoint,
            store=self._services.store,
            results=self._services.executor.results,
            telemetry=self._services.telemetry,
            keeps_errors=lane_of(batch.options, endpoint) == "native",
        )
        custom_ids = await rows.custom_ids(self._services.executor)
        found = await collector.collect(upstream, custom_ids)
        if found.missing and found.not_found is not None and self._not_found < MAX_NOT_FOUND - 1:
            self._not_found += 1
            raise found.not_found
        reason = self._reason_for(upstream, found)
        state: Literal["done", "failed"] = "failed" if found.missing else "done"
        await self._record.save(answered=found.answered)
        is_current = batch.status == "in_progress" and not self._services.clock.has_passed(batch.expires_at)
        if found.missing and is_current and lane_of(batch.options, endpoint) == "native":
            error = RequestError("api_error", f"the provider's batch job gave no answer: {reason}")
            await collector.end_unanswered(has_expired=upstream.outcome == "expired", error=error)
        await self._record.end(state, reason)
        return found

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


def retry_delay(failures: int) -> float:
    """Return the seconds before the next attempt, after so many failures before this one."""
    return min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures, MAX_DOUBLINGS))


def _cause(error: Exception) -> str:
    """Say what went wrong: the message of an unexpected error may quote a request."""
    return error.message if isinstance(error, RequestError) else loggable_text(error)
