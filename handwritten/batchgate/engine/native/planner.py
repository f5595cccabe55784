"""Plans the lanes of a batch: reads its input once, and stores its jobs and which shards run directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.native_job import unpack_set
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.native.job_groups import JobGroups
from batchgate.engine.native.lane_choice import reason_to_call
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.support.batch_task_queue import BatchTaskQueue
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

BYTES_AT_ONCE: Final = 512 * 1024
"""Bytes of input lines that are read without a pause for the event loop; they take a few milliseconds."""


class NativePlanner:
    """Plans batches that may use a provider's batch API. Until then their shards are held."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        executor: Executor,
        clock: ExpiryClock,
        cluster: Cluster,
        planned: Callable[[], None],
        report: HealthReporter,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._planned = planned
        self._tasks = BatchTaskQueue("planning", self._plan, cluster, report)

    def add(self, batch_key: int) -> None:
        """Enqueue a batch; does nothing if it is enqueued already."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Plan until cancelled; a storage failure is retried later, and does not delay other batches."""
        await self._tasks.run()

    async def _plan(self, batch_key: int) -> None:
        batch = await self._store.find_batch_by_key(batch_key)
        if batch is None or batch.ended_at is not None or batch.status == "validating":
            return
        claims = await self._store.list_shards(batch)
        groups = JobGroups(batch)
        if batch.status == "in_progress" and not self._clock.has_passed(batch.expires_at):
            for claim in claims:
                await self._group(batch, claim, groups)
        jobs = tuple(groups.jobs(self._clock.now()))
        native = {seq for job in jobs for seq in unpack_set(job.seqs)}
        direct = [claim.shard.index for claim in claims if not native.issuperset(claim.shard.seqs)]
        hit_failpoint("native_grouped")
        queued = await shielded(self._store.save_plan(batch_key, jobs, direct))
        hit_failpoint("native_planned")
        self._queue.enqueue(queued)
        self._planned()

    async def _group(self, batch: Batch, claim: Claim, groups: JobGroups) -> None:
        """Add the native requests of one shard."""
        read = 0
        for seq, line in await read_input_lines(self._blobs, claim):
            request = self._executor.prepare(batch, seq, line)
            if not isinstance(request, ResultLine) and reason_to_call(batch, request, now=self._clock.now()) is None:
                groups.add(request, len(line))
            read += len(line)
            if read >= BYTES_AT_ONCE:
                read = 0
                await asyncio.sleep(0)
