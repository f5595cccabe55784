"""Submits a job, and finds it again where it is not known whether it was created."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError, UpstreamUnreachable
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_record import LOOK_AGAIN, JobRecord, NativeServices, credential_of
from batchgate.engine.native.job_rows import JobRows
from batchgate.engine.native.job_search import JobSearch
from batchgate.engine.native.job_watch import CANCEL_GRACE, poll_delay
from batchgate.engine.native.refused_rows import RefusedRows
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob
from batchgate.engine.support.failpoints import hit_failpoint

DOUBT: Final = 240 * MICROSECONDS
"""The time for which a job that may have been created is looked for before it is created again (native-lanes 1)."""
ROOM_CHECK: Final = 300.0
"""Seconds after which a job without room looks again whether it should still go."""
MAX_ATTEMPTS: Final = 3
"""Attempts to submit a job that the provider refuses."""
NONE_ENCODED: Final = "none of its requests can be written for the provider"
IN_DOUBT: Final = "its creation got no answer, and a job at the provider may be it, which its results will show"


class _NothingToSend(Exception):
    """No request of the job can be encoded."""


class JobSubmission:
    """Brings one job to the provider."""

    def __init__(
        self, record: JobRecord, ledger: EnqueuedTokens, refused: RefusedRows, services: NativeServices
    ) -> None:
        self._record = record
        self._refused = refused
        self._ledger = ledger
        self._services = services
        self._search = JobSearch(services)
        self._attempts = 0
        self._looks = 0
        """How often candidates were found that have not ended."""

    async def submit_when_there_is_room(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches
    ) -> None:
        """Submit the job if its tokens fit into the provider's queue, or wait for others to end."""
        may_submit = self._services.clock.has_passed(self._record.resubmit_at)
        if not (may_submit and self._ledger.has_room(self._record.job.tokens)):
            if await self._ledger.wait_for_room(self._record.sleep(ROOM_CHECK)):
                self._record.resubmit_at = 0
            return
        self._ledger.reserve(self._record.job.token, self._record.job.tokens)
        await self._record.save(state="submitting", credential=credential_of(endpoint.account))
        hit_failpoint("native_submitting")
        await self._submit(batch, endpoint, batches)

    async def put_back(self) -> None:
        """Plan a job again that does not exist yet; a file that it has at the provider is used later."""
        await self._record.save(state="planned")
        self._ledger.release(self._record.job.token)

    async def _submit(self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches) -> None:
        """Upload the input, or create the job; the next step sees a cancel that came during the upload or its wait."""
        async with self._record.transfer() as has_slot:
            if not has_slot:
                return
            claims = await self._services.store.list_shards(batch)
            rows = JobRows(batch, self._record.job, claims, self._services.blobs, self._record.refused)
            encoded = self._counted(rows, rows.encoded(self._services.executor, batches, endpoint.account))
            try:
                if self._record.job.upstream_file is not None or not await self._upload(
                    batch, endpoint, batches, encoded
                ):
                    await self._create(endpoint, batches, encoded)
            except _NothingToSend:
                await self._record.end("failed", NONE_ENCODED)

    async def _counted(self, rows: JobRows, encoded: AsyncIterator[PlannedRow]) -> AsyncIterator[PlannedRow]:
        """Yield all rows, and store how many they were before the body that has them ends.

        So a job can exist only if their number is stored. Raises `_NothingToSend` if there is none.
        """
        sent = 0
        async for row in encoded:
            yield row
            sent += 1
        if not sent:
            raise _NothingToSend
        hit_failpoint("native_uploading")
        uploads = self._record.job.uploads + 1
        await self._record.save(sent=sent, uploads=uploads, **self._record.without(rows.dropped()))

    async def _upload(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, encoded: AsyncIterator[PlannedRow]
    ) -> bool:
        """Upload the input; False if the create call carries it. Ends the job if the provider does not want it."""
        try:
            uploaded = await batches.upload(endpoint.account, self._record.job, encoded)
        except UpstreamError as error:
            if _may_exist(error):
                raise
            await self._on_refused_upload(batch, endpoint, batches, error)
            return True
        if uploaded is None:
            return False
        await self._record.save(upstream_file=uploaded)
        hit_failpoint("native_uploaded")
        return True

    async def _create(
        self, endpoint: AccountEndpoint, batches: ProviderBatches, encoded: AsyncIterator[PlannedRow]
    ) -> None:
        sent = None if self._record.job.upstream_file is None else self._record.job.sent
        await self._record.save(creating_at=self._services.clock.now(), sent=sent)
        hit_failpoint("native_creating")
        try:
            upstream = await batches.create(endpoint.account, self._record.job, encoded)
        except UpstreamError as error:
            if _may_exist(error):
                raise  # the next step looks for it
            await self._record.save(creating_at=None)
            await self._on_refusal(error)
            return
        hit_failpoint("native_create_answered")
        await self._adopt(upstream)
        hit_failpoint("native_created")

    async def _on_refused_upload(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, error: UpstreamError
    ) -> None:
        """Leave out the rows that the refusal names; the next step uploads the others."""
        rows = error.refused_rows
        if not rows or not await self._refused.take_out(batch, endpoint, batches, rows, error.message):
            await self._on_refusal(error)

    async def _on_refusal(self, error: UpstreamError) -> None:
        """Try again to submit a job that does not exist, or give up on one that the provider does not want."""
        if error.retry_safe:
            raise error
        self._attempts += 1
        if self._attempts < MAX_ATTEMPTS and error.kind not in {"authentication_error", "permission_error"}:
            raise error
        await self._record.end("failed", f"the provider refused it: {error.message}")

    async def resume(self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, stop: str | None) -> None:
        """Go on after a crash or a failed call: the job may exist or not."""
        if self._record.job.may_exist:
            await self._resolve_doubt(batch, endpoint, batches, stop)
        elif stop:
            await self._record.withdraw(stop)
        else:
            await self._submit(batch, endpoint, batches)

    async def _resolve_doubt(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, stop: str | None
    ) -> None:
        """Look for a job whose create call got no answer; it is not created again while a candidate may be it."""
        job = self._record.job
        result = await self._search.search(job, endpoint, batches)
        in_doubt = IN_DOUBT if result.candidates else None
        if result.found is not None:
            await self._adopt(result.found)
        elif not self._services.clock.has_passed((job.creating_at or 0) + DOUBT):
            await self._record.sleep(LOOK_AGAIN)
        elif stop and (not result.candidates or self._may_leave(batch)):
            await self._record.withdraw(stop, in_doubt)
        elif result.candidates:
            await self._watch_candidates()
        else:
            await self._record.save(creating_at=None, reason=None)

    async def _watch_candidates(self) -> None:
        if self._record.job.reason != IN_DOUBT:
            await self._record.save(reason=IN_DOUBT)
        self._looks += 1
        await self._record.sleep(max(LOOK_AGAIN, poll_delay(self._looks)))

    def _may_leave(self, batch: Batch) -> bool:
        """Check if candidates are watched no longer: the batch needs its rescue, or is over and its time has passed.

        Requests of a canceled batch keep the results that they were paid for, so it waits for the end of its jobs.
        """
        clock = self._services.clock
        is_rescued = batch.status == "in_progress" and not clock.has_passed(batch.expires_at)
        return is_rescued or clock.has_passed(batch.expires_at + CANCEL_GRACE)

    async def _adopt(self, upstream: UpstreamJob) -> None:
        now = self._services.clock.now()
        await self._record.save(
            state="running", upstream_id=upstream.id, upstream_status=upstream.status, submitted_at=now, reason=None
        )


def _may_exist(error: UpstreamError) -> bool:
    """Check if a job may exist after a failed create: its answer was lost, or the provider failed on the way."""
    if isinstance(error, UpstreamUnreachable):
        return False
    return isinstance(error, NoUpstreamAnswer) or error.status >= 500 or error.status == 408
