"""The worker: claims shards as long as there is room for their requests, and runs each to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

from batchgate.engine.batch import Claim, ShardJob
from batchgate.engine.clock import MICROSECONDS, Clock
from batchgate.engine.errors import StoreError
from batchgate.engine.execution import Executor
from batchgate.engine.failpoints import hit
from batchgate.engine.ports import Blobs, Queue, Store
from batchgate.engine.problems import Report
from batchgate.engine.shard_run import STORAGE_RETRY, ShardRun
from batchgate.engine.telemetry import Telemetry

logger = logging.getLogger(__name__)

OPEN_REQUESTS = 4_000
"""Requests that a worker holds in memory, running or waiting for their turn; a claim more may pass the mark."""
OPEN_BYTES = 64 * 1024 * 1024
"""Bytes of their input lines, likewise: a few thousand requests with images would be gigabytes."""


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
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._sealable = sealable
        self._report = report
        self._telemetry = telemetry
        self._runs: set[ShardRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_requests = 0
        self._open_bytes = 0
        self._halted_meanwhile: set[int] = set()
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Claim and run shards until cancelled; runs that have begun go on until `drain` or `abort`."""
        while True:
            await self._room.wait()
            job = await self._queue.get()
            try:
                claim = await self._claim(job)
                if claim is not None:
                    hit("shard_claimed")
                    self._start(job, claim)
            except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
                self._line_up_again(job, error)

    def halt_batch(self, batch_key: int) -> None:
        """Send nothing more of a batch that was canceled or has expired."""
        self._halted_meanwhile.add(batch_key)
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
            self._halted_meanwhile.clear()
            try:
                claim = await self._store.claim_shard(job)
            except StoreError as error:
                self._report("claims", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("claims", None)
                return claim

    def _start(self, job: ShardJob, claim: Claim) -> None:
        run = ShardRun(
            claim,
            store=self._store,
            blobs=self._blobs,
            executor=self._executor,
            report=self._report,
            telemetry=self._telemetry,
        )
        if self._is_over(claim):
            run.halt(put_back=False)
        self._runs.add(run)
        self._count(claim, 1)
        task = asyncio.create_task(self._run(job, run), name=f"shard {claim.batch.id}/{claim.shard.index}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_over(self, claim: Claim) -> bool:
        """Tell if nothing is to be sent: a cancel may also have come between the claim's commit and this moment."""
        batch = claim.batch
        canceled = batch.status == "canceling" or batch.key in self._halted_meanwhile
        return canceled or self._clock.now() >= batch.expires_at

    async def _run(self, job: ShardJob, run: ShardRun) -> None:
        begun = time.perf_counter()
        waited = (self._clock.now() - run.claim.batch.created_at) / MICROSECONDS
        self._telemetry.shard_claimed(run.claim, waited=waited)
        try:
            sealable = await run.run()
            self._report("shards", None)
            if sealable:
                hit("last_shard_done")
                self._sealable(run.claim.batch.key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
            self._line_up_again(job, error)
        finally:
            self._runs.discard(run)
            self._count(run.claim, -1)
            self._telemetry.shard_left(run.claim, seconds=time.perf_counter() - begun)

    def _line_up_again(self, job: ShardJob, error: Exception) -> None:
        """Run a shard another time: nobody else has it, and its batch would not end before the next start."""
        fields = {"action": "shard_failed", "batch_key": job.batch_key, "shard": job.shard}
        logger.error("a shard failed in the gateway itself", exc_info=error, extra=fields)
        self._report("shards", error)
        asyncio.get_running_loop().call_later(STORAGE_RETRY, self._queue.put, (job,))

    def _count(self, claim: Claim, sign: Literal[1, -1]) -> None:
        self._open_requests += sign * claim.shard.requests
        self._open_bytes += sign * claim.shard.length
        if self._open_requests < OPEN_REQUESTS and self._open_bytes < OPEN_BYTES:
            self._room.set()
        else:
            self._room.clear()
