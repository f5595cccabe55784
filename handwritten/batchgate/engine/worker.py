"""The worker: claims shards as long as there is room for their requests, and runs each to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchgate.engine.batch import Claim, ShardJob
from batchgate.engine.clock import Clock
from batchgate.engine.errors import StoreError
from batchgate.engine.execution import Executor
from batchgate.engine.ports import Blobs, Queue, Store
from batchgate.engine.shard_run import STORAGE_RETRY, Report, ShardRun

OPEN_REQUESTS = 4_000
"""Requests that a worker holds in memory, running or waiting for their turn; a claim more may pass the mark."""


class Worker:
    """Takes shards from the queue and runs them."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        executor: Executor,
        clock: Clock,
        sealable: Callable[[int], None],
        report: Report,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._sealable = sealable
        self._report = report
        self._runs: set[ShardRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_requests = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Claim and run shards until cancelled; runs that have begun go on until `drain` or `abort`."""
        while True:
            await self._room.wait()
            job = await self._queue.get()
            claim = await self._claim(job)
            if claim is not None:
                self._start(claim)

    def halt_batch(self, batch_key: int) -> None:
        """Send nothing more of a batch that was canceled or has expired."""
        for run in self._runs:
            if run.claim.batch.key == batch_key:
                run.halt(put_back=False)

    async def drain(self, grace: float) -> None:
        """Send nothing more, give the calls under way ``grace`` seconds, and flush what has been answered."""
        for run in self._runs:
            run.halt(put_back=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await self.abort()

    async def abort(self) -> None:
        """Give up the calls under way and flush what has been answered."""
        for run in self._runs:
            run.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim(self, job: ShardJob) -> Claim | None:
        while True:
            try:
                claim = await self._store.claim_shard(job)
            except StoreError as error:
                self._report("claims", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("claims", None)
                return claim

    def _start(self, claim: Claim) -> None:
        run = ShardRun(claim, store=self._store, blobs=self._blobs, executor=self._executor, report=self._report)
        if claim.batch.status == "canceling" or self._clock.now() >= claim.batch.expires_at:
            run.halt(put_back=False)
        self._runs.add(run)
        self._count(claim.shard.requests)
        task = asyncio.create_task(self._run(run), name=f"shard {claim.batch.id}/{claim.shard.index}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, run: ShardRun) -> None:
        try:
            if await run.run():
                self._sealable(run.claim.batch.key)
        finally:
            self._runs.discard(run)
            self._count(-run.claim.shard.requests)

    def _count(self, requests: int) -> None:
        self._open_requests += requests
        if self._open_requests < OPEN_REQUESTS:
            self._room.set()
        else:
            self._room.clear()
