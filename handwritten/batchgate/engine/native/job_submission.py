"""Submits a job, and finds it again where it is not known whether it was created."""

from __future__ import annotations

import logging
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
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob
from batchgate.engine.support.failpoints import hit_failpoint

logger = logging.getLogger(__name__)

DOUBT: Final = 240 * MICROSECONDS
"""The time for which a job that may have been created is looked for before it is created again (native-lanes 1)."""
ROOM_CHECK: Final = 300.0
"""Seconds after which a job without room looks again whether it should still go."""
MAX_ATTEMPTS: Final = 3
"""Attempts to submit a job that the provider refuses."""
NONE_ENCODED: Final = "none of its requests can be written for the provider"


class JobSubmission:
    """Brings one job to the provider."""

    def __init__(self, record: JobRecord, ledger: EnqueuedTokens, services: NativeServices) -> None:
        self._record = record
        self._ledger = ledger
        self._services = services
        self._attempts = 0

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

    async def _submit(self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches) -> None:
        """Upload the input unless that is done, and create the job."""
        async with self._services.transfers:
            claims = await self._services.store.list_shards(batch)
            if self._record.job.upstream_file is None:
                rows = JobRows(batch, self._record.job, claims, self._services.blobs)
                encoded = rows.encoded(self._services.executor, batches, endpoint.account)
                await self._upload(endpoint, batches, rows, encoded)
            if self._record.job.state == "submitting":
                rows = JobRows(batch, self._record.job, claims, self._services.blobs)
                encoded = rows.encoded(self._services.executor, batches, endpoint.account)
                await self._create(endpoint, batches, rows, encoded)

    async def _upload(
        self, endpoint: AccountEndpoint, batches: ProviderBatches, rows: JobRows, encoded: AsyncIterator[PlannedRow]
    ) -> None:
        """Upload the input; ends the job if the provider does not want it, or if nothing is left of it."""
        try:
            uploaded = await batches.upload(endpoint.account, self._record.job, encoded)
        except UpstreamError as error:
            if rows.has_none:
                await self._record.end("failed", NONE_ENCODED)
            elif _may_exist(error):
                raise
            else:
                await self._on_refusal(error)
            return
        if rows.has_none:
            await self._record.end("failed", NONE_ENCODED)
        elif uploaded is not None:
            await self._record.save(upstream_file=uploaded, **self._record.without(rows.dropped()))
            hit_failpoint("native_uploaded")

    async def _create(
        self, endpoint: AccountEndpoint, batches: ProviderBatches, rows: JobRows, encoded: AsyncIterator[PlannedRow]
    ) -> None:
        await self._record.save(creating_at=self._services.clock.now())
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
        await self._adopt(upstream, **self._record.without(rows.dropped()))
        hit_failpoint("native_created")

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
        if self._record.job.creating_at is None:
            if stop:
                await self._record.end("withdrawn", stop)
            else:
                await self._submit(batch, endpoint, batches)
            return
        known = {job.upstream_id for job in await self._services.store.jobs_of(batch.key)}
        found = [job for job in await batches.find(endpoint.account, self._record.job) if job.id not in known]
        is_exact = batches.limits.label == "exact"
        if found and (is_exact or len(found) == 1):
            await self._adopt(found[0], proven=is_exact)
        elif not self._services.clock.has_passed(self._record.job.creating_at + DOUBT):
            await self._record.sleep(LOOK_AGAIN)
        elif stop:
            await self._record.end("withdrawn", stop)
        elif found:
            await self._record.sleep(LOOK_AGAIN)
        else:
            await self._record.save(creating_at=None)

    async def _adopt(self, upstream: UpstreamJob, **changes: object) -> None:
        now = self._services.clock.now()
        await self._record.save(
            state="running", upstream_id=upstream.id, upstream_status=upstream.status, submitted_at=now, **changes
        )
        fields = {"action": "native_job_running", "account": self._record.job.account, "model": self._record.job.model}
        logger.info("%d requests travel in job %s", self._record.job.requests, upstream.id, extra=fields)


def _may_exist(error: UpstreamError) -> bool:
    """Check if a job may exist after a failed create: its answer was lost, or the provider failed on the way."""
    if isinstance(error, UpstreamUnreachable):
        return False
    return isinstance(error, NoUpstreamAnswer) or error.status >= 500 or error.status == 408
