"""The worker: claims shards as they come, and runs of each what there is room for, until it is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from batchgate.engine.dispatch.admission import AdmissionBuffer
from batchgate.engine.dispatch.claim_policy import ClaimPolicy
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.shard_run import STORAGE_RETRY, RunEnd, ShardRun
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import ShardJob
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.failpoints import hit
from batchgate.engine.support.health_problems import ReportHealth

logger = logging.getLogger(__name__)


class Worker:
    """Takes shards from the queue and runs them."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        claim_policy: ClaimPolicy,
        executor: Executor,
        clock: Clock,
        finalize: Callable[[int], None],
        report: ReportHealth,
        telemetry: Telemetry,
        concurrency: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._claim_policy = claim_policy
        self._executor = executor
        self._clock = clock
        self._finalize = finalize
        self._report = report
        self._telemetry = telemetry
        self._runs: dict[ShardJob, ShardRun] = {}
        self._tasks: dict[ShardJob, asyncio.Task[None]] = {}
        self._held: set[ShardJob] = set()
        """The jobs that are to be done or given back."""
        self._times_lost = 0
        """How often all of them were lost at once."""
        self._own: asyncio.PriorityQueue[ShardJob] = asyncio.PriorityQueue()
        """Those of them that are to be claimed again."""
        self._claiming = 0
        self._stopped_meanwhile: set[int] = set()
        self._room = AdmissionBuffer(self._resume, requests=claim_policy.room(concurrency))
        queue.on_jobs_lost(self._drop_all)

    @property
    def batches(self) -> frozenset[int]:
        """The keys of the batches of which something runs here, or waits for room."""
        return frozenset(job.batch_key for job in (*self._runs, *self._room.outside))

    async def run(self) -> None:
        """Claim and run shards until cancelled; runs that have begun go on until `drain` or `abort`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_new_ones())
            group.create_task(self._take_own_ones())

    def stop_batch(self, batch_key: int) -> None:
        """Send nothing more of a batch that was canceled or has expired."""
        self._stopped_meanwhile.add(batch_key)
        self._room.wake(batch_key)
        for run in self._runs.values():
            if run.claim.batch.key == batch_key:
                run.stop(put_back=False)

    def put_back(self, accounts: Sequence[str]) -> None:
        """Give the shards back that have requests for accounts which are not to be called from here any more."""
        for run in self._runs.values():
            if any(run.uses(account) for account in accounts):
                run.stop(put_back=True)

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Put the shards of these batches before all others."""
        self._room.expedite(batch_keys)
        await self._queue.expedite(batch_keys)

    async def drain(self, grace: float) -> None:
        """Send nothing more, give the calls under way ``grace`` seconds, and flush what has been answered."""
        for run in self._runs.values():
            run.stop(put_back=True)
        for job in self._held.difference(self._runs):
            self._give_back(job)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        await self.abort()

    async def abort(self) -> None:
        """Give up the calls under way and flush what has been answered."""
        for run in self._runs.values():
            run.abort()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _take_new_ones(self) -> None:
        while True:
            job, times_lost = await self._next_job(), self._times_lost
            if (task := self._tasks.get(job)) is not None:
                await asyncio.wait([task])  # it was lost, and has come back before its run has ended
            if times_lost == self._times_lost:
                self._held.add(job)
                await self._begin(job)

    async def _take_own_ones(self) -> None:
        while True:
            job = await self._own.get()
            if job in self._held:
                await self._begin(job)

    async def _next_job(self) -> ShardJob:
        """Wait for a shard that may be taken, however long the queue is out of reach."""
        while True:
            try:
                job = await self._claim_policy.next_job(self._queue, self._room)
            except StoreError as error:
                self._report("queue", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("queue", None)
                return job

    async def _begin(self, job: ShardJob) -> None:
        times_lost = self._times_lost
        try:
            claim = await self._claim(job)
            if times_lost != self._times_lost:
                if claim is not None:  # somebody else has the job by now, and claims the shard again
                    await self._store.release_shard(claim)
            elif claim is None:
                self._let_go(job)
            else:
                hit("shard_claimed")
                self._start(job, claim)
        except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
            self._line_up_again(job, error)

    async def _claim(self, job: ShardJob) -> Claim | None:
        while True:
            if not self._claiming:
                self._stopped_meanwhile.clear()
            self._claiming += 1
            try:
                claim = await self._store.claim_shard(job)
            except StoreError as error:
                self._report("claims", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("claims", None)
                return claim
            finally:
                self._claiming -= 1

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
            run.stop(put_back=False)
        self._room.arrive(job)
        self._runs[job] = run
        task = asyncio.create_task(self._run(run), name=f"shard {claim.batch.id}/{claim.shard.index}")
        self._tasks[job] = task
        task.add_done_callback(lambda _: self._tasks.pop(job))

    def _is_over(self, claim: Claim) -> bool:
        """Tell if nothing is to be sent: a cancel may also have come between the claim's commit and this moment."""
        batch = claim.batch
        canceled = batch.status == "canceling" or batch.key in self._stopped_meanwhile
        return canceled or self._clock.now() >= batch.expires_at

    async def _run(self, run: ShardRun) -> None:
        begun = time.perf_counter()
        waited = (self._clock.now() - run.claim.batch.created_at) / MICROSECONDS
        self._telemetry.shard_claimed(run.claim, waited=waited)
        try:
            end = await run.run()
            self._report("shards", None)
            self._settle(run, end)
        except Exception as error:  # noqa: BLE001 - whatever it is, the shard must not be let go
            self._room.forget(run.job)
            self._line_up_again(run.job, error)
        finally:
            del self._runs[run.job]
            self._telemetry.shard_released(run.claim, seconds=time.perf_counter() - begun)

    def _settle(self, run: ShardRun, end: RunEnd) -> None:
        """Tell the queue what has become of a shard, unless it was lost meanwhile."""
        job = run.job
        if end is RunEnd.FINALIZABLE:
            hit("last_shard_done")
            self._finalize(run.claim.batch.key)
        if job not in self._held:
            return
        match end:
            case RunEnd.FINALIZABLE | RunEnd.DONE:
                self._let_go(job)
            case RunEnd.STOPPED | RunEnd.BARRED | RunEnd.LOST:
                # One that was lost is still to be done: who took it may be a worker that is taken for dead.
                self._claim_policy.passed_on()
                self._give_back(job)
            case RunEnd.REFUSED if (rest := self._claim_policy.rest_of(job)) is not None:
                self._give_back(job, rest=rest)
            case _:
                self._claim_policy.taken(job)
                if run.called_late:
                    self._own.put_nowait(job)

    def _let_go(self, job: ShardJob) -> None:
        self._room.forget(job)
        self._claim_policy.taken(job)
        self._held.discard(job)
        self._queue.complete(job)

    def _give_back(self, job: ShardJob, *, rest: float = 0.0) -> None:
        self._room.forget(job)
        self._held.discard(job)
        self._queue.release(job, delay=rest)

    def _drop_all(self) -> None:
        """Give up what somebody else may hold by now, who asks again for whatever is not stored."""
        self._times_lost += 1
        for job in self._held:
            self._room.forget(job)
        self._held.clear()
        for run in self._runs.values():
            run.abort()

    def _resume(self, jobs: Sequence[ShardJob]) -> None:
        """Run shards on that waited for room."""
        for job in jobs:
            run = self._runs.get(job)
            if run is None:
                self._own.put_nowait(job)
            else:
                run.resume()

    def _line_up_again(self, job: ShardJob, error: Exception) -> None:
        """Run a shard another time: nobody else has it, and its batch would not end before the next start."""
        fields = {"action": "shard_failed", "batch_key": job.batch_key, "shard": job.shard}
        logger.error("a shard failed in the gateway itself", exc_info=error, extra=fields)
        self._report("shards", error)
        asyncio.get_running_loop().call_later(STORAGE_RETRY, self._own.put_nowait, job)
