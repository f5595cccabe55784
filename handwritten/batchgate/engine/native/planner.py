"""Plans the lanes of a batch: reads its input once, and stores its jobs and which shards run directly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.native_job import NativeJob, unpack_set
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.native.lane_plan import LanePlan
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.input_lines import read_shards
from batchgate.engine.support.batch_task_queue import BatchTaskQueue
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

BYTES_AT_ONCE: Final = 512 * 1024
"""Bytes of input lines that are read without a pause for the event loop; they take a few milliseconds."""
REUSES_AT_ONCE: Final = 2
"""Batches that take over results at the same time; each has an index of the earlier batch in memory."""


class NativePlanner:
    """Plans batches that may use a provider's batch API, or reuse results. Until then their shards are held.

    Batches that reuse results wait for each other in a queue of their own, so they do not delay the others.
    """

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        executor: Executor,
        reuse: Callable[[Batch, Sequence[Claim]], Awaitable[frozenset[int]]],
        clock: ExpiryClock,
        cluster: Cluster,
        planned: Callable[[], None],
        steer: Callable[[], None],
        report: HealthReporter,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._executor = executor
        self._reuse = reuse
        self._clock = clock
        self._planned = planned
        self._steer = steer
        self._telemetry = telemetry
        self._tasks = BatchTaskQueue("planning", self._begin, cluster, report)
        self._reuses = BatchTaskQueue("reuse", self._reuse_and_plan, cluster, report)

    def add(self, batch_key: int) -> None:
        """Enqueue a batch; does nothing if it is enqueued already."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Plan until cancelled; a storage failure is retried later, and does not delay other batches."""
        queues = [self._tasks, *[self._reuses] * REUSES_AT_ONCE]
        running = [asyncio.create_task(queue.run()) for queue in queues]
        try:
            await asyncio.gather(*running)
        finally:
            await cancel_all(running)

    async def _begin(self, batch_key: int) -> None:
        """Plan a batch, or let it wait for the results that it reuses; a canceled or expired one does not wait."""
        if (batch := await self._store.find_unplanned(batch_key)) is None:
            return
        if self._is_open(batch) and await self._awaits_reuse(batch):
            self._reuses.add(batch_key)
        else:
            await self._plan(batch, await self._store.list_shards(batch), frozenset())

    async def _awaits_reuse(self, batch: Batch) -> bool:
        """Return whether a batch takes over results before its plan: it does so once, before the first one."""
        return batch.options.reused_batch is not None and not await self._store.lanes_of(batch.key)

    async def _reuse_and_plan(self, batch_key: int) -> None:
        """Let a batch take over results, and plan its other requests."""
        if (batch := await self._store.find_unplanned(batch_key)) is None:
            return
        claims = await self._store.list_shards(batch)
        try:
            finished = await self._reuse(batch, claims)
        except StaleClaim:
            return  # it was planned meanwhile: by another process, or since it was canceled or has expired
        if (batch := await self._store.find_unplanned(batch_key)) is not None:
            await self._plan(batch, claims, finished)

    def _is_open(self, batch: Batch) -> bool:
        """Return whether requests of a batch may still be sent."""
        return batch.status == "in_progress" and not self._clock.has_passed(batch.expires_at)

    async def _plan(self, batch: Batch, claims: Sequence[Claim], finished: frozenset[int]) -> None:
        """Choose the lanes of the requests without a result and of no job, and store them."""
        kept: Sequence[NativeJob] = ()
        if batch.lane_changes:  # it may have run before: the jobs are read first, as their results come while they are
            kept = await self._store.active_jobs([batch.key])
            finished |= await self._finished(claims)
        plan = LanePlan(batch)
        if self._is_open(batch):
            for job in kept:
                plan.keep(job)
            await self._add_open(batch, claims, finished.union(*(unpack_set(job.seqs) for job in kept)), plan)
        # It takes 100 ms if they are many.
        jobs, direct = await asyncio.to_thread(_jobs, plan, kept, claims, self._clock.now())
        hit_failpoint("native_grouped")
        saving = self._store.save_plan(
            batch.key, jobs, direct, plan.listed(), lane_changes=batch.lane_changes, kept=kept
        )
        queued = await shielded(saving)
        hit_failpoint("native_planned")
        if queued is None:
            return
        self._telemetry.batch_planned(batch, jobs)
        self._queue.enqueue(queued)
        self._planned()
        if batch.lane_changes:  # it is no longer suspended
            self._steer()
        _log_lanes(batch, plan)

    async def _finished(self, claims: Sequence[Claim]) -> frozenset[int]:
        """Read which requests have results."""
        chunks = [await self._store.list_chunks(claim.batch.key, claim.shard.index) for claim in claims]
        return frozenset(seq for entries in chunks for entry in entries for seq in entry.seqs)

    async def _add_open(self, batch: Batch, claims: Sequence[Claim], taken: frozenset[int], plan: LanePlan) -> None:
        """Add the requests of a batch that are not taken."""
        open_claims = [claim for claim in claims if not taken.issuperset(claim.shard.seqs)]
        async with aclosing(read_shards(self._blobs, open_claims)) as shards:
            async for lines in shards:
                await self._add(batch, [(seq, line) for seq, line in lines if seq not in taken], plan)

    async def _add(self, batch: Batch, lines: Sequence[tuple[int, bytes]], plan: LanePlan) -> None:
        """Add the requests of one shard."""
        read, now = 0, self._clock.now()
        for seq, line in lines:
            request = self._executor.prepare(batch, seq, line)
            if not isinstance(request, ResultLine):
                plan.add(request, len(line), now)
            read += len(line)
            if read >= BYTES_AT_ONCE:
                read = 0
                await asyncio.sleep(0)


def _jobs(
    plan: LanePlan, kept: Sequence[NativeJob], claims: Sequence[Claim], now: int
) -> tuple[Sequence[NativeJob], Sequence[int]]:
    """Return the new jobs, and the indexes of the shards with requests that are neither in them nor in kept ones."""
    jobs = plan.jobs(now)
    native = {seq for job in (*jobs, *kept) for seq in unpack_set(job.seqs)}
    return jobs, [claim.shard.index for claim in claims if not native.issuperset(claim.shard.seqs)]


def _log_lanes(batch: Batch, plan: LanePlan) -> None:
    """Log which lanes the requests of a batch take, and why."""
    for part in plan.listed():
        fields = {"action": "lane_chosen", "batch": batch.id, "account": part.account, "model": part.model}
        message = "%d requests take the lane %s: %s (%s)"
        logger.info(message, part.requests, part.lane, part.reason.text, part.reason.code, extra=fields)
