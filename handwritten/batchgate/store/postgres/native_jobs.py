"""The jobs of the native lane in a PostgreSQL database.

Rows are locked as `transactions` says: a batch, its native jobs, its shards. Whether a shard is held changes only while
its batch is locked. A change of a job alone, and `take_jobs`, lock nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.native_job import ACTIVE_STATES, NativeJob
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.store.native_records import (
    can_hold,
    closed_shard,
    finished_seqs,
    native_job_from_row,
    native_job_row,
    shards_of_job,
    stale_job,
    withheld_seqs,
)
from batchgate.store.postgres.connection import Params, PostgresPool, Row, Transaction
from batchgate.store.postgres.sent_marks import SentMarks
from batchgate.store.postgres.transactions import store_results
from batchgate.store.records import shard_job, unpack_seqs


class PostgresNativeJobs:
    """The part of a store that implements `NativeJobStore`."""

    def __init__(self, pool: PostgresPool, marks: SentMarks) -> None:
        self._pool = pool
        self._marks = marks

    async def unplanned_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their plan."""
        return [row["key"] for row in await self._pool.fetch_all("unplanned_batches", {})]

    async def save_plan(
        self, batch_key: int, jobs: Sequence[NativeJob], direct_shards: Sequence[int]
    ) -> Sequence[QueuedShard]:
        """Store the jobs of a batch, and release shards; does nothing if the batch has its plan."""
        return await self._pool.write(
            lambda transaction: _save_plan(transaction, batch_key, jobs, direct_shards), repeatable=True
        )

    async def take_jobs(self, *, new_only: bool = False) -> Sequence[NativeJob]:
        """Read all active jobs, or the new ones, with a new epoch each."""
        if new_only and await self._pool.fetch_one("has_new_native_jobs", {}) is None:
            return []
        params = {"new_only": new_only}
        # New jobs that were taken by a commit whose answer was lost are no longer new.
        rows = await self._pool.write(
            lambda transaction: transaction.fetch_all("take_native_jobs", params), repeatable=not new_only
        )
        return sorted((native_job_from_row(row) for row in rows), key=lambda job: job.key)

    async def jobs_of(self, batch_key: int) -> Sequence[NativeJob]:
        """Read all jobs of a batch in the order of their creation."""
        rows = await self._pool.fetch_all("native_jobs_of_batch", {"batch_key": batch_key})
        return [native_job_from_row(row) for row in rows]

    async def save_job(self, job: NativeJob) -> None:
        """Write the changed fields of an active job."""
        await self._pool.write(lambda transaction: _save_job(transaction, job), repeatable=True)

    async def append_native_results(self, job: NativeJob, shard: int, chunk: ResultChunk) -> None:
        """Write results of a job that belong to one shard."""
        await self._pool.write(lambda transaction: _append_results(transaction, job, shard, chunk), repeatable=True)

    async def finished_of(self, job: NativeJob) -> frozenset[int]:
        """Read the seqs that have durable results, of the shards from the first to the last request of a job."""
        chunks = await self._pool.fetch_long("finished_between", native_job_row(job), _seqs_of_chunk)
        return frozenset(seq for seqs in chunks for seq in seqs)

    async def end_job(self, job: NativeJob) -> Sequence[QueuedShard]:
        """Write a job in a final state, and release the held shards with requests of it."""
        return await self._pool.write(lambda transaction: _end_job(transaction, job), repeatable=True)

    async def hold_shard(self, claim: Claim) -> bool:
        """Release a claim, and hold the shard if the end of a job will release it."""
        held = await self._pool.write(lambda transaction: _hold_shard(transaction, claim), repeatable=True)
        self._marks.release((claim.batch.key, claim.shard.index), claim.epoch)
        return held


def _seqs_of_chunk(row: Row) -> tuple[int, ...]:
    return unpack_seqs(row["seqs"])


async def _save_plan(
    transaction: Transaction, batch_key: int, jobs: Sequence[NativeJob], direct_shards: Sequence[int]
) -> Sequence[QueuedShard]:
    batch = await transaction.fetch_one("end_planning", {"batch_key": batch_key})
    if batch is None:
        return []
    planned = jobs if batch["status"] == "in_progress" else ()
    for job in planned:
        await transaction.execute("insert_native_job", native_job_row(job))
    held = {row["shard"] for row in await transaction.fetch_all("held_shards", {"batch_key": batch_key})}
    return await _release_shards(transaction, batch_key, held.intersection(direct_shards) if planned else held)


async def _release_shards(transaction: Transaction, batch_key: int, shards: Iterable[int]) -> Sequence[QueuedShard]:
    """Release held shards of a batch that is locked, and defer a queue job for each."""
    released = sorted(shards)
    if released:
        params = {"batch_key": batch_key, "shard": released}
        await transaction.execute("release_held_shards", params)
        await transaction.execute("defer_released_jobs", params)
    return [shard_job(batch_key, shard) for shard in released]


async def _save_job(transaction: Transaction, job: NativeJob) -> None:
    if await transaction.fetch_one("save_native_job", native_job_row(job)) is None:
        raise stale_job(job)


async def _append_results(transaction: Transaction, job: NativeJob, shard: int, chunk: ResultChunk) -> None:
    params: Params = native_job_row(job) | {"shard": shard}
    await transaction.execute("lock_batch_by_key", params)
    found = await transaction.fetch_one("lock_native_job", params)
    if found is None or found["state"] not in ACTIVE_STATES:
        raise stale_job(job)
    numbered = await transaction.fetch_one("number_native_chunk", params)
    if numbered is None:
        raise closed_shard(job, shard)
    await store_results(transaction, job.batch_key, shard, chunk, number=numbered["number"])


async def _end_job(transaction: Transaction, job: NativeJob) -> Sequence[QueuedShard]:
    assert job.state not in ACTIVE_STATES
    params = native_job_row(job)
    await transaction.execute("lock_batch_by_key", params)
    found = await transaction.fetch_one("lock_native_job", params)
    if found is not None and found["state"] == job.state:
        return []  # an earlier attempt, whose response was lost, has deferred the queue jobs
    await _save_job(transaction, job)
    held = await transaction.fetch_all("held_shards", params)
    return await _release_shards(transaction, job.batch_key, shards_of_job(held, job.seqs))


async def _hold_shard(transaction: Transaction, claim: Claim) -> bool:
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
    await transaction.execute("lock_batch_by_key", shard_key)
    if await transaction.fetch_one("lock_claimed_shard", shard_key) is None:
        return False
    withheld = withheld_seqs(await transaction.fetch_all("active_jobs_of_shard", shard_key), claim.shard)
    finished = finished_seqs(await transaction.fetch_all("finished_seqs", shard_key))
    held = can_hold(claim, withheld, finished)
    await transaction.execute("hold_shard", shard_key | {"held": held})
    if held:
        await transaction.execute("drop_queued_jobs", shard_key)
    return held
