"""Runs all jobs of the native lane; one process of a cluster does it for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.native_job import FINAL_STATES, NativeJob
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_cleanup import JobCleanup
from batchgate.engine.native.job_record import NativeServices
from batchgate.engine.native.job_run import JobRun
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.support.cancellation import cancel_all

logger = logging.getLogger(__name__)

LEASE: Final = "native jobs"
INTERVAL: Final = 1.0
"""Seconds between two looks for jobs that another process has planned."""
SELDOM: Final = 60.0
"""The same while no account of this process has a batch API: only jobs of a removed account may be left."""
RETAKE_DELAY: Final = 60.0
"""Seconds after which all jobs are taken again, when one was dropped."""
MAX_TRANSFERS: Final = 2
"""Jobs whose requests or results are transferred at once; one of 100,000 requests needs 25 MB of memory for that."""


class NativeJobs:
    """Takes the active jobs over when this process gets the lease, and new ones as they are planned."""

    def __init__(self, services: NativeServices, cluster: Cluster) -> None:
        self._services = services
        self._cluster = cluster
        self._ledgers: dict[tuple[str, str], EnqueuedTokens] = {}
        self._runs: dict[str, JobRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cleanup = JobCleanup(services)
        self._cleaning: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._has_all = False
        """Whether this process runs all active jobs but the new ones."""

    def look(self) -> None:
        """Look for new jobs now."""
        self._wake.set()

    def wake_batch(self, batch_key: int) -> None:
        """Have the jobs of a batch look at it now: it was canceled, has expired, or was resumed."""
        for run in self._runs.values():
            if run.job.batch_key == batch_key:
                run.wake()

    @property
    def batches(self) -> frozenset[int]:
        """The keys of the batches whose jobs this process runs."""
        return frozenset(run.job.batch_key for run in self._runs.values())

    async def run(self) -> None:
        """Run jobs until cancelled."""
        try:
            while True:
                self._wake.clear()
                has_looked = await self._try_to_take_jobs()
                with suppress(TimeoutError):
                    async with asyncio.timeout(SELDOM if has_looked and self._expects_none else INTERVAL):
                        await self._wake.wait()
        finally:
            await self._stop()

    @property
    def _expects_none(self) -> bool:
        """Whether new jobs are not to be expected: no account of this process has a batch API."""
        return not self._runs and not self._services.router.has_batch_apis

    async def _try_to_take_jobs(self) -> bool:
        """Take jobs; return False if that failed."""
        try:
            await self._take_jobs()
        except StoreError as error:
            self._services.report(LEASE, error)
        except Exception as error:
            logger.exception("taking native jobs failed", extra={"action": "native_jobs_failed"})
            self._services.report(LEASE, error)
        else:
            self._services.report(LEASE, None)
            return True
        return False

    async def _take_jobs(self) -> None:
        holds = await self._cluster.acquire_lease(LEASE)
        if not holds:
            self._has_all = False
            await self._stop()
            return
        for job in await self._untaken_jobs():
            ledger = self._ledger(job.account, job.model)
            run = self._runs[job.token] = JobRun(job, ledger, self._services, self._active_jobs)
            task = asyncio.create_task(run.run(), name=f"native job {job.token}")
            self._tasks[job.token] = task
            task.add_done_callback(partial(self._forget, job.token))
        if self._cleaning is None:
            self._cleaning = asyncio.create_task(self._cleanup.run(), name="clean-up of native jobs")

    async def _stop(self) -> None:
        """Leave all jobs as they are."""
        cleaning, self._cleaning = self._cleaning, None
        await cancel_all([*self._tasks.values(), *filter(None, [cleaning])])

    async def _untaken_jobs(self) -> Sequence[NativeJob]:
        """Take the active jobs that no task of this process runs; all of them, if it may have missed any."""
        new_only, self._has_all = self._has_all, False
        if not new_only:
            await cancel_all(list(self._tasks.values()))
        jobs = await self._services.store.take_jobs(new_only=new_only)  # a lost answer may have taken jobs
        self._has_all = True
        return jobs

    def _active_jobs(self) -> Iterable[NativeJob]:
        return (run.job for run in self._runs.values())

    def _forget(self, token: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(token) is not task:
            return
        run = self._runs.pop(token)
        del self._tasks[token]
        self._cleanup.look()
        if not task.cancelled() and run.job.state not in FINAL_STATES:
            error = task.exception()
            fields = {"action": "native_job_dropped", "account": run.job.account}
            logger.error("native job %s is not run any more", token, exc_info=error, extra=fields)
            asyncio.get_running_loop().call_later(RETAKE_DELAY, self._retake)

    def _retake(self) -> None:
        """Take all jobs again, unless another process has them: one was dropped that has not ended."""
        self._has_all = False

    def _ledger(self, account: str, model: str) -> EnqueuedTokens:
        key = (account, model)
        if key not in self._ledgers:
            endpoint = self._services.router.endpoint(account)
            limit = endpoint.account.enqueued_tokens if endpoint else None
            self._ledgers[key] = EnqueuedTokens(limit, clock=self._services.clock)
        return self._ledgers[key]
