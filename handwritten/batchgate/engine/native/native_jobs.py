"""Runs all jobs of the native lane; one process of a cluster does it for all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from batchgate.engine.model.errors import StoreError
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_record import NativeServices
from batchgate.engine.native.job_run import JobRun
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.support.cancellation import cancel_all

LEASE: Final = "native jobs"
INTERVAL: Final = 1.0
"""Seconds between two looks for jobs that another process has planned."""


class NativeJobs:
    """Takes the active jobs over when this process gets the lease, and new ones as they are planned."""

    def __init__(self, services: NativeServices, cluster: Cluster) -> None:
        self._services = services
        self._cluster = cluster
        self._ledgers: dict[tuple[str, str], EnqueuedTokens] = {}
        self._runs: dict[str, JobRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._holds_lease = False

    def look(self) -> None:
        """Look for new jobs now."""
        self._wake.set()

    def stop_batch(self, batch_key: int) -> None:
        """End the jobs of a batch that was canceled or has expired."""
        for run in self._runs.values():
            if run.batch_key == batch_key:
                run.wake()

    async def run(self) -> None:
        """Run jobs until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._take_jobs()
                except StoreError as error:
                    self._services.report(LEASE, error)
                else:
                    self._services.report(LEASE, None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):
                        await self._wake.wait()
        finally:
            await cancel_all(list(self._tasks.values()))

    async def _take_jobs(self) -> None:
        holds = await self._cluster.acquire_lease(LEASE)
        if not holds:
            self._holds_lease = False
            await cancel_all(list(self._tasks.values()))
            return
        jobs = await self._services.store.take_jobs(new_only=self._holds_lease)
        self._holds_lease = True
        for job in jobs:
            ledger = self._ledger(job.account, job.model)
            run = self._runs[job.token] = JobRun(job, ledger, self._services)
            task = asyncio.create_task(run.run(), name=f"native job {job.token}")
            self._tasks[job.token] = task
            task.add_done_callback(partial(self._forget, job.token))

    def _forget(self, token: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(token) is task:
            del self._tasks[token], self._runs[token]

    def _ledger(self, account: str, model: str) -> EnqueuedTokens:
        key = (account, model)
        if key not in self._ledgers:
            endpoint = self._services.router.endpoint(account)
            self._ledgers[key] = EnqueuedTokens(endpoint.account.enqueued_tokens if endpoint else None)
        return self._ledgers[key]
