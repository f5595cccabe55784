"""Runs one job from its plan to its end.

Each step is stored before the next one, so a crash at any of them loses neither the job nor its results.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Literal

from msgspec import structs

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import (
    BlobError,
    ConfigurationError,
    RequestError,
    StaleClaim,
    StoreError,
    UpstreamError,
    loggable_text,
)
from batchgate.engine.model.native_job import FINAL_STATES, JobState, NativeJob, pack_set
from batchgate.engine.native.collector import Collected, Collector
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_record import LONGEST_SLEEP, LOOK_AGAIN, JobRecord, NativeServices
from batchgate.engine.native.job_rows import JobRows
from batchgate.engine.native.job_submission import JobSubmission
from batchgate.engine.native.job_watch import JobWatch
from batchgate.engine.native.measured_calls import MeasuredBatches, measured
from batchgate.engine.native.refused_rows import RefusedRows
from batchgate.engine.native.stop_reasons import MOVED, PAUSED, RESCUED
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob

logger = logging.getLogger(__name__)

FIRST_RETRY: Final = 2.0  # seconds before the second attempt at a call that failed; they double
LAST_RETRY: Final = 60.0
LAST_DOWNLOAD: Final = LONGEST_SLEEP
"""The same for results that cannot be read: each attempt may download hundreds of megabytes."""
MAX_DOUBLINGS: Final = 8
MAX_UNREADABLE: Final = 4
"""Attempts to read results that are not found, or not usable; then they are given up."""
UNREAD: Final = "its results cannot be read yet"
GIVE_UP: Final = 600 * MICROSECONDS
"""How long calls may fail once a job should have stopped: its batch waits for its end."""
ACCOUNT_GRACE: Final = 3600 * MICROSECONDS
"""How long a job at the provider waits for its account, from when a process first saw that the settings lack it."""
MARGIN: Final = 2
RESERVE: Final = 1800 * MICROSECONDS
"""A batch is rescued when the time left is less than the direct lane would need, `MARGIN` times, and this more.

It is more than the rescue itself takes: `LONGEST_SLEEP` until a job sees that it is needed, `CANCEL_GRACE` for the end
of the job, and `GIVE_UP` for results that cannot be read.

But not in the first half of its time: no guess of a slow direct lane withdraws the jobs of a large batch at once.
"""


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
        refused = RefusedRows(self._record, services)
        self._submission = JobSubmission(self._record, ledger, refused, services)
        self._watch = JobWatch(self._record, ledger, refused, services)
        self._failures = 0
        self._unreadable = 0
        self._is_stopping = False
        """Whether this process has seen that the job should stop."""
        self._failing_since: int | None = None
        """When calls began to fail that should stop the job."""
        if job.state != "planned":
            ledger.reserve(job.token, job.tokens)

    @property
    def job(self) -> NativeJob:
        """The job in its present state."""
        return self._record.job

    def wake(self) -> None:
        """Look at the batch now: it was canceled, has expired, or was paused or resumed.

        A job that is stopping knows; its polls stay rare.
        """
        if not self._is_stopping:
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
        except (StoreError, BlobError, UpstreamError, ConfigurationError) as error:
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
        delay = retry_delay(self._failures, LAST_DOWNLOAD if self._record.job.state == "collecting" else LAST_RETRY)
        self._failures += 1
        await self._record.sleep(max(delay, asked or 0.0))

    async def _step(self) -> None:
        """Make a step. A job that should have stopped ends when calls fail too long, since its batch waits for it."""
        batch = await self._services.store.find_batch_by_key(self._record.job.batch_key)
        if batch is None:
            await self._record.end("withdrawn", "its batch is gone")
            return
        before = self._record.job.state
        await self._step_for(batch)
        self._report_change(batch, before)

    def _report_change(self, batch: Batch, before: JobState) -> None:
        """Report a job that has begun to run, or has ended."""
        job, telemetry = self._record.job, self._services.telemetry
        if job.state == "running" and before != "running":
            telemetry.native_job_running(batch, job)
        elif job.state in FINAL_STATES:
            endpoint, is_current = self._services.router.endpoint(job.account), (job.ended_at or 0) < batch.stopped_at
            is_called = endpoint is not None and lane_of(batch.options, endpoint) != "native"
            runs_on = job.state != "done" and is_current and is_called and not self._record.is_replanned
            telemetry.native_job_ended(batch, job, rescued=job.requests - job.answered if runs_on else 0)

    async def _step_for(self, batch: Batch) -> None:
        """Make a step for a job whose batch exists."""
        stop = self._reason_to_stop(batch)
        self._is_stopping = stop is not None
        endpoint = self._services.router.endpoint(self._record.job.account)
        if endpoint is None or endpoint.batches is None:
            await self._wait_for_account(batch, stop)
            return
        if self._record.job.account_missed_at is not None:
            await self._record.save(account_missed_at=None)
        key = endpoint.account.api_key
        try:
            batches = MeasuredBatches(endpoint.batches, batch, self._services.telemetry)
            await self._advance(batch, endpoint, batches, stop)
        except StoreError:
            raise
        except Exception as error:
            if isinstance(error, UpstreamError) and error.kind == "authentication_error":
                await endpoint.refresh_key(rejected=key)
            if stop is None or not self._has_failed_too_long():
                raise
            fields = {"action": "native_job_given_up", "account": self._record.job.account}
            logger.exception("a job of the native lane could not be ended in time", extra=fields)
            await self._record.give_up("failed", f"{stop}; {_cause(error)}")
        else:
            self._failing_since = None

    def _has_failed_too_long(self) -> bool:
        clock = self._services.clock
        self._failing_since = self._failing_since or clock.now()
        return clock.has_passed(self._failing_since + GIVE_UP)

    async def _wait_for_account(self, batch: Batch, stop: str | None) -> None:
        """Wait for an account that the settings do not have: nothing else can read or cancel the job.

        Raises `ConfigurationError`, which /health shows, until the account is back or `ACCOUNT_GRACE` has passed.
        """
        job, clock = self._record.job, self._services.clock
        problem = f"account {job.account!r} has no batch API by the settings"
        if job.upstream_id is None and not job.may_exist:
            await self._record.end("withdrawn", problem)
            return
        missed_at = clock.now() if job.account_missed_at is None else job.account_missed_at
        if job.account_missed_at is None:
            await self._record.save(account_missed_at=missed_at)
        left = f"job {job.upstream_id or job.token} may still run at the provider, and is billed"
        if stop is None and not clock.has_passed(missed_at + ACCOUNT_GRACE):
            expected = f"the batch API of account {job.account!r}, for job {job.upstream_id or job.token}"
            raise ConfigurationError(f"accounts.{job.account}", f"{expected} of batch {batch.id}; put it back")
        fields = {"action": "native_job_abandoned", "account": job.account, "batch": batch.id}
        logger.error("batch %s: %s; %s", batch.id, problem, left, extra=fields)
        await self._record.give_up("withdrawn", f"{problem}; {left}")

    async def _advance(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, stop: str | None
    ) -> None:
        """Do what comes next in the job's state."""
        match self._record.job.state:
            case "planned" if stop:
                await self._record.withdraw(stop)
            case "planned" if batch.pause is not None:
                await self._record.sleep(LOOK_AGAIN)
            case "planned" if not await self._services.budgets.may_send(batch, self._record.job.account):
                await self._record.sleep(LOOK_AGAIN)
            case "planned":
                await self._submission.submit_when_there_is_room(batch, endpoint, batches)
            case "submitting" if batch.pause is not None and stop is None and not self._record.job.may_exist:
                await self._submission.put_back()
            case "submitting":
                await self._submission.resume(batch, endpoint, batches, stop)
            case "running":
                pause = PAUSED if stop is None and batch.pause and batch.pause.native_jobs == "cancel" else None
                await self._watch.watch(batch, endpoint, batches, stop or pause)
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
        lane = None if endpoint is None else lane_of(batch.options, endpoint)
        if lane == "direct":
            return MOVED
        if lane != "auto" or batch.pause is not None:
            return None
        job = self._record.job
        needed = self._services.executor.rate.seconds_for(job.account, job.model, self._requests_of_batch())
        half = (batch.expires_at - batch.created_at) // 2
        margin = min(round(MARGIN * needed * MICROSECONDS) + RESERVE, half)
        if self._services.clock.has_passed(batch.expires_at - margin):
            return RESCUED
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
            with measured(self._services.telemetry, batch, self._record.job, "collect"):
                try:
                    await self._store_results(batch, endpoint, upstream)
                except UpstreamError as error:
                    await self._show_unread(error)
                    raise

    async def _show_unread(self, error: UpstreamError) -> None:
        """Let the progress show why the results are not stored, unless it shows why the job was canceled."""
        if self._record.job.cancel_requested_at is None:
            await self._record.save(reason=f"{UNREAD}: {error.message}")

    async def _store_results(self, batch: Batch, endpoint: AccountEndpoint, upstream: UpstreamJob) -> None:
        """Store the results of a job that has ended upstream, and end it."""
        claims = await self._services.store.list_shards(batch)
        collector = Collector(
            batch,
            self._record.job,
            claims,
            endpoint=endpoint,
            store=self._services.store,
            results=self._services.executor.results,
            clock=self._services.clock,
            telemetry=self._services.telemetry,
            keeps_errors=lane_of(batch.options, endpoint) == "native",
        )
        rows = JobRows(batch, self._record.job, claims, self._services.blobs)
        custom_ids = await rows.custom_ids(self._services.executor)
        del rows  # it has the seqs of the job a second time
        found = await collector.collect(upstream, custom_ids)
        if found.missing and found.unreadable is not None and self._unreadable < MAX_UNREADABLE - 1:
            self._unreadable += 1
            raise found.unreadable
        reason = self._reason_for(upstream, found)
        state: Literal["done", "failed"] = "failed" if found.missing else "done"
        await self._record.save(answered=found.answered)
        is_current = batch.status == "in_progress" and not self._services.clock.has_passed(batch.expires_at)
        steered = await self._services.store.find_batch_by_key(batch.key) or batch
        is_native = lane_of(steered.options, endpoint) == "native"
        if found.missing and is_current and is_native and await self._record.successor() is None:
            found.missing -= await self._unfit(batch, endpoint, claims, found.missing)
            error = RequestError("api_error", f"the provider's batch job gave no answer: {reason}")
            await collector.end_unanswered(has_expired=upstream.outcome == "expired", error=error)
        await self._record.end(state, reason)

    async def _unfit(
        self, batch: Batch, endpoint: AccountEndpoint, claims: Sequence[Claim], missing: Collection[int]
    ) -> set[int]:
        """Return which requests without a result were never sent: a worker gives them the error of their encoding."""
        job, batches = self._record.job, endpoint.batches
        if job.sent == job.requests or batches is None:
            return set()
        left = structs.replace(job, seqs=pack_set(missing))
        rows = JobRows(batch, left, claims, self._services.blobs, self._record.refused)
        async for _ in rows.encoded(self._services.executor, batches, endpoint.account):
            pass
        return rows.unfit

    def _reason_for(self, upstream: UpstreamJob, found: Collected) -> str | None:
        """Return why a job has not answered all requests that it had at first; None if it has."""
        if found.missing <= self._record.refused:
            return self._record.refusal
        if self._record.job.cancel_requested_at is not None and self._record.job.reason:
            return self._record.job.reason
        if found.unreadable is not None:
            return f"its results cannot be read: {found.unreadable.message}"
        if upstream.faults:
            return "; ".join(f"{fault.code}: {fault.message}" for fault in upstream.faults[:3])
        missing, requests = len(found.missing), self._record.job.requests
        return f"it ended as {upstream.status} with {missing} of {requests} requests unanswered"


def retry_delay(failures: int, longest: float = LAST_RETRY) -> float:
    """Return the seconds before the next attempt, after so many failures before this one."""
    return min(longest, FIRST_RETRY * 2.0 ** min(failures, MAX_DOUBLINGS))


def _cause(error: Exception) -> str:
    """Say what went wrong: the message of an unexpected error may quote a request."""
    return error.message if isinstance(error, RequestError) else loggable_text(error)
