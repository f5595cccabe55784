"""The part of the store that keeps the plans and jobs of the native lane."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk


class NativeJobStore(Protocol):
    """Keeps jobs; every write is durable when its call returns. Raises `StoreError`.

    The shards of a batch that was created to be planned (`NewBatch.planned`) are *held*: they are in no queue, no
    worker claims them, and neither a cancel nor an expiry closes them. So are those of a batch that a caller moves into
    jobs, each as soon as no worker has it. A plan releases those with requests for the direct lane; once there is one,
    the end of a job releases those with requests of it. A claim of a shard names the requests of active
    jobs as `Claim.withheld`.
    """

    async def unplanned_batches(self) -> Sequence[int]:
        """Read the keys of the batches in progress or canceling that wait for their plan."""
        ...

    async def find_unplanned(self, batch_key: int) -> Batch | None:
        """Read such a batch; None if there is none with this key, or while a shard of it is not held.

        From then on until its plan is saved, none is claimed, so only requests of its active jobs get results.
        """
        ...

    async def append_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Write results that requests of a held shard take over from another batch; nothing if they have them already.

        Raises `StaleClaim`, and writes nothing, if the plan of the batch is saved, or only some of them have a result.
        """
        ...

    async def save_plan(
        self,
        batch_key: int,
        jobs: Sequence[NativeJob],
        direct_shards: Sequence[int],
        lanes: Sequence[LanePart] = (),
        *,
        lane_changes: int = 0,
        kept: Sequence[NativeJob] = (),
    ) -> Sequence[QueuedShard] | None:
        """Store the jobs and lanes of a batch and release shards, once: a second plan changes nothing.

        Returns what to enqueue; None if the batch does not await this plan, or was moved to another lane since the
        plan was begun, when it had ``lane_changes``. A plan without jobs releases all shards. A batch that is canceling
        by now gets no jobs and no lanes, so all of its shards are released. ``kept`` are the jobs that were active when
        the plan was begun: the shards of those that have ended since are released too.
        """
        ...

    async def lanes_of(self, batch_key: int) -> Sequence[LanePart]:
        """Read which lanes the plan of a batch has chosen for its requests, and why; empty without a plan."""
        ...

    async def take_jobs(self, *, new_only: bool = False) -> Sequence[NativeJob]:
        """Read all active jobs with a new epoch each: whoever held them before can no longer write.

        ``new_only``: only those that nobody has taken yet, whose epoch is 0.
        """
        ...

    async def jobs_of(self, batch_key: int) -> Sequence[NativeJob]:
        """Read all jobs of a batch in the order of their creation, the ended ones too."""
        ...

    async def active_jobs(self, batch_keys: Collection[int]) -> Sequence[NativeJob]:
        """Read the active jobs of some batches."""
        ...

    async def save_job(self, job: NativeJob) -> None:
        """Write the changed fields of an active job; raises `StaleClaim` if another process has taken it over."""
        ...

    async def known_upstream_ids(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids that jobs of any batch have upstream, the ended jobs included."""
        ...

    async def uncleaned_jobs(self, ended_after: int) -> Sequence[NativeJob]:
        """Read the jobs that ended after a time and may have something left upstream, the oldest first."""
        ...

    async def mark_cleaned(self, job: NativeJob) -> None:
        """Store that nothing of an ended job is left upstream, and its id there if that was found late.

        Does nothing if its batch was deleted meanwhile.
        """
        ...

    async def append_native_results(self, job: NativeJob, chunks: Mapping[int, ResultChunk]) -> None:
        """Write results of a job together, in a chunk for the index of each shard, as `ShardStore.append_chunk` does.

        Raises `StaleClaim`, and writes nothing, if another process has taken the job over, the job has ended, or a
        shard is done. The seqs belong to the job and have no results yet: the caller knows both.
        """
        ...

    async def finished_of(self, job: NativeJob) -> frozenset[int]:
        """Read the seqs that have durable results, of the shards from the first to the last request of a job."""
        ...

    async def end_job(self, job: NativeJob, successor: NativeJob | None = None) -> Sequence[QueuedShard]:
        """Write a job in a final state, release the held shards with requests of it, and return what to enqueue.

        ``successor`` is stored with it: a new job of requests that this one has not answered, so that none is called.
        Raises `StaleClaim` if another process has taken it over. Ending it again in the same state changes nothing.
        """
        ...

    async def count_paid_twice(self, job: NativeJob, *, paid_twice: int, spend: Spend, now: int) -> None:
        """Store how many requests an ended job answered too late, and add them and their cost to its batch, once.

        If the batch has ended, the cost counts for the month of ``now``.
        """
        ...

    async def hold_shard(self, claim: Claim) -> bool:
        """Release a claim of a shard whose only requests to send are withheld, and hold it again.

        Returns False, and releases the claim alone, if a job has ended since the claim whose withheld requests have no
        result, or if none is withheld any more: then the shard has to run again. Also False, and nothing is changed, if
        it has been claimed again since.
        """
        ...
