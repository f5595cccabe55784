"""Deletes what ended jobs left at the provider: files, and jobs that hold results."""

from __future__ import annotations

import logging
from typing import Final

from msgspec import structs

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.errors import StoreError, UpstreamError
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.native.job_record import NativeServices, credential_of
from batchgate.engine.native.job_search import JobSearch
from batchgate.engine.native.late_answers import LateAnswers
from batchgate.engine.native.measured_calls import MeasuredBatches
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.wakeable_sleep import WakeableSleep

logger = logging.getLogger(__name__)

RETRY: Final = 300.0
"""Seconds before the next attempt at what could not be deleted."""
MAX_AGE: Final = 2 * DAY
"""How long after the end of a job its clean-up is tried; then the provider's own retention does it."""
COMPONENT: Final = "native jobs"


class JobCleanup:
    """Cleans up after the jobs that have ended, those of a process that was killed included.

    A job that still runs upstream is canceled first: its cancel failed, or it was in doubt when its requests were
    needed.
    """

    def __init__(self, services: NativeServices) -> None:
        self._services = services
        self._late = LateAnswers(services)
        self._pause = WakeableSleep(services.clock)
        self._searches: dict[str, JobSearch] = {}
        """By the token of a job that ended in doubt."""

    def look(self) -> None:
        """Look now: a job has ended."""
        self._pause.wake()

    async def run(self) -> None:
        """Clean up until cancelled; what fails is tried again later."""
        while True:
            self._pause.reset()
            try:
                await self._clean_all()
            except StoreError as error:
                self._services.report(COMPONENT, error, of="clean-up")
            except Exception as error:
                logger.exception("the clean-up of native jobs failed", extra={"action": "native_cleanup_failed"})
                self._services.report(COMPONENT, error, of="clean-up")
            else:
                self._services.report(COMPONENT, None, of="clean-up")
            await self._pause.sleep(RETRY)

    async def _clean_all(self) -> None:
        since = self._services.clock.now() - MAX_AGE
        for job in await self._services.store.uncleaned_jobs(since):
            try:
                await self._clean(job)
            except UpstreamError as error:
                fields = {"action": "native_cleanup_failed", "account": job.account}
                name = job.upstream_id or job.token
                logger.warning("cannot delete what job %s left yet: %s", name, error.message, extra=fields)

    async def _clean(self, job: NativeJob) -> None:
        """Delete what a job left, if these credentials can; raises `UpstreamError` or `StoreError`."""
        endpoint = self._services.router.endpoint(job.account)
        if endpoint is None or endpoint.batches is None or job.credential != credential_of(endpoint.account):
            return
        batch = await self._services.store.find_batch_by_key(job.batch_key)
        if batch is None:
            return
        batches = MeasuredBatches(endpoint.batches, batch, self._services.telemetry)
        if job.upstream_id is None and job.may_exist:
            found = await self._find(job, endpoint, batches)
            if found is None:
                return
            job = found
        if await self._discard(batch, job, endpoint, batches):
            hit_failpoint("native_discarded")
            await self._services.store.mark_cleaned(job)
            self._searches.pop(job.token, None)

    async def _find(self, job: NativeJob, endpoint: AccountEndpoint, batches: ProviderBatches) -> NativeJob | None:
        """Return a job that ended in doubt, with its id if it exists; None while candidates may be it."""
        search = self._searches.setdefault(job.token, JobSearch(self._services))
        result = await search.search(job, endpoint, batches)
        if result.found is None:
            return None if result.candidates else job
        fields = {"action": "native_job_found_late", "account": job.account, "model": job.model}
        logger.warning("job %s was found after its requests had ended", result.found.id, extra=fields)
        return structs.replace(job, upstream_id=result.found.id)

    async def _discard(self, batch: Batch, job: NativeJob, endpoint: AccountEndpoint, batches: ProviderBatches) -> bool:
        """Delete files and job; False, after a cancel, while the job runs, and before its late answers are counted."""
        upstream: UpstreamJob | None = None
        if job.upstream_id is not None:
            upstream = await batches.poll(endpoint.account, job)
        if upstream is not None and upstream.outcome == "running":
            await batches.cancel(endpoint.account, job)
            return False
        if not await self._late.count(batch, job, upstream, endpoint, batches):
            return False
        await batches.discard(endpoint.account, job, upstream)
        return True
