"""The worker: claims shards as they come, and runs of each what there is room for, until it is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from batchgate.engine.batch import Claim, ShardJob
from batchgate.engine.clock import MICROSECONDS, Clock
from batchgate.engine.errors import StoreError
from batchgate.engine.execution import Executor
from batchgate.engine.failpoints import hit
from batchgate.engine.ports import Blobs, Queue, Store
from batchgate.engine.problems import Report
from batchgate.engine.room import REQUESTS, Room
from batchgate.engine.shard_run import STORAGE_RETRY, ShardRun
from batchgate.engine.telemetry import Telemetry

logger = logging.getLogger(__name__)

ROOM_PER_CALL = 4
"""The room of a worker is this many times the calls that may be under way to one model, if that is more than usual."""


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
        concurrency: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._sealable = sealable
        self._report = report
        self._telemetry = telemetry
        self._runs: dict[ShardJob, ShardRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._halted_meanwhile: set[int] = set()
        self._room = Room(self._resume, requests=max(REQUESTS, ROOM_PER_CALL * concurrency))

    async def run(self) -> None:
        """Claim and run shards until cancelled; runs that have begun go on until `drain` or `abort`."""
        while True:
            job = await self._queue.get()
            try:
                claim = await self._claim(job)
                if claim is None:
                    self._room.forget(job)
                else:
                    hit("shard_claimed")
                    self._start(job, claim)
            except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
                self._line_up_again(job, error)

    def halt_batch(self, batch_key: int) -> None:
        """Send nothing more of a batch that was canceled or has expired."""
        self._halted_meanwhile.add(batch_key)
        self._room.wake(batch_key)
        for run in self._runs.values():
            if run.claim.batch.key == batch_key:
                run.halt(put_back=False)

    async def drain(self, grace: float) -> None:
        """Send nothing more, give the calls under way ``grace`` seconds, and flush what has been answered."""
        for run in self._runs.values():
            run.halt(put_back=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await self.abort()

    async def abort(self) -> None:
        """Give up the calls under way and flush what has been answered."""
        for run in self._runs.values():
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
            job,
            claim,
            store=self._store,
            blobs=self._blobs,
            executor=self._executor,
            room=self._room,
            report=self._report,
            telemetry=self._telemetry,
        )
        if self._is_over(claim):
            run.halt(put_back=False)
        self._runs[job] = run
        task = asyncio.create_task(self._run(run), name=f"shard {claim.batch.id}/{claim.shard.index}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_over(self, claim: Claim) -> bool:
        """Tell if nothing is to be sent: a cancel may also have come between the claim's commit and this moment."""
        batch = claim.batch
        canceled = batch.status == "canceling" or batch.key in self._halted_meanwhile
        return canceled or self._clock.now() >= batch.expires_at

    async def _run(self, run: ShardRun) -> None:
        begun = time.perf_counter()
        waited = (self._clock.now() - run.claim.batch.created_at) / MICROSECONDS
        self._telemetry.shard_claimed(run.claim, waited=waited)
        try:
            sealable = await run.run()
            self._report("shards", None)
            if sealable:
                hit("last_shard_done")
                self._sealable(run.claim.batch.key)
            elif run.called_late:
                self._queue.put((run.job,))
        except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
            self._room.forget(run.job)
            self._line_up_again(run.job, error)
        finally:
            del self._runs[run.job]
            self._telemetry.shard_left(run.claim, seconds=time.perf_counter() - begun)

    def _resume(self, jobs: Sequence[ShardJob]) -> None:
        """Run shards on that waited for room."""
        for job in jobs:
            run = self._runs.get(job)
            if run is None:
                self._queue.put((job,))
            else:
                run.take_up()

    def _line_up_again(self, job: ShardJob, error: Exception) -> None:
        """Run a shard another time: nobody else has it, and its batch would not end before the next start."""
        fields = {"action": "shard_failed", "batch_key": job.batch_key, "shard": job.shard}
        logger.error("a shard failed in the gateway itself", exc_info=error, extra=fields)
        self._report("shards", error)
        asyncio.get_running_loop().call_later(STORAGE_RETRY, self._queue.put, (job,))
