"""The jobs of the native lane in a PostgreSQL database.

Rows are locked as `transactions` says: a batch, its native jobs, its shards. Whether a shard is held changes only while
its batch is locked. A change of a job alone, and `take_jobs`, lock nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.native_job import ACTIVE_STATES, NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.store.budget_records import charged_by_late_answers, spender_columns
from batchgate.store.native_records import (
    LateAnswerCount,
    StoredPlan,
    can_hold,
    closed_shard,
    finished_seqs,
    lanes_from_row,
    lanes_row,
    late_answers_row,
    native_job_from_row,
    native_job_row,
    needs_storing,
    released_by_plan,
    shards_of_job,
    stale_job,
    withheld_seqs,
)
from batchgate.store.postgres.connection import Params, PostgresPool, Row, Transaction
from batchgate.store.postgres.pauses import notify
from batchgate.store.postgres.sent_marks import SentMarks
from batchgate.store.postgres.transactions import close_answered_shards, store_results
from batchgate.store.postgres.usage import add_late_usage
from batchgate.store.records import batch_from_row, shard_job, stale_claim, unpack_seqs


class PostgresNativeJobs:
    """The part of a store that implements `NativeJobStore`."""

    def __init__(self, pool: PostgresPool, marks: SentMarks) -> None:
        self._pool = pool
        self._marks = marks

    async def unplanned_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their plan."""
        return [row["key"] for row in await self._pool.fetch_all("unplanned_batches", {})]

    async def find_unplanned(self, batch_key: int) -> Batch | None:
        """Read a batch that waits for its plan, and whose open shards are all held."""
        row = await self._pool.fetch_one("find_unplanned", {"batch_key": batch_key})
        return None if row is None else batch_from_row(row)

    async def append_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Write results that requests of a held shard take over; nothing if they have them already."""
        await self._pool.write(lambda transaction: _append_reused(transaction, claim, chunk), repeatable=True)

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
        """Store the jobs and lanes of a batch, and release shards; does nothing if the batch awaits no such plan."""
        plan = StoredPlan(batch_key=batch_key, jobs=jobs, direct_shards=direct_shards, lanes=lanes, kept=kept)
        return await self._pool.write(lambda transaction: _save_plan(transaction, plan, lane_changes), repeatable=True)

    async def lanes_of(self, batch_key: int) -> Sequence[LanePart]:
        """Read which lanes the plan of a batch has chosen for its requests."""
        return lanes_from_row(await self._pool.fetch_one("lanes_of_batch", {"batch_key": batch_key}))

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

    async def active_jobs(self, batch_keys: Collection[int]) -> Sequence[NativeJob]:
        """Read the active jobs of some batches."""
        rows = await self._pool.fetch_all("active_jobs_of_batches", {"batch_keys": list(batch_keys)})
        return [native_job_from_row(row) for row in rows]

    async def save_job(self, job: NativeJob) -> None:
        """Write the changed fields of an active job."""
        await self._pool.write(lambda transaction: _save_job(transaction, job), repeatable=True)

    async def known_upstream_ids(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids that jobs of any batch have upstream."""
        rows = await self._pool.fetch_all("known_upstream_ids", {"ids": list(ids)})
        return frozenset(row["upstream_id"] for row in rows)

    async def uncleaned_jobs(self, ended_after: int) -> Sequence[NativeJob]:
        """Read the jobs that ended after a time and may have something left upstream."""
        rows = await self._pool.fetch_all("uncleaned_native_jobs", {"ended_after": ended_after})
        return [native_job_from_row(row) for row in rows]

    async def mark_cleaned(self, job: NativeJob) -> None:
        """Store that nothing of an ended job is left upstream."""
        params: Params = {"key": job.key, "upstream_id": job.upstream_id}
        await self._pool.write(
            lambda transaction: transaction.execute("mark_native_job_cleaned", params), repeatable=True
        )

    async def append_native_results(self, job: NativeJob, chunks: Mapping[int, ResultChunk]) -> None:
        """Write results of a job together, in a chunk for each shard."""
        await self._pool.write(lambda transaction: _append_results(transaction, job, chunks), repeatable=True)

    async def finished_of(self, job: NativeJob) -> frozenset[int]:
        """Read the seqs that have durable results, of the shards from the first to the last request of a job."""
        chunks = await self._pool.fetch_long("finished_between", native_job_row(job), _seqs_of_chunk)
        return frozenset(seq for seqs in chunks for seq in seqs)

    async def end_job(self, job: NativeJob, successor: NativeJob | None = None) -> Sequence[QueuedShard]:
        """Write a job in a final state, store its successor, and release the held shards with requests of it."""
        return await self._pool.write(lambda transaction: _end_job(transaction, job, successor), repeatable=True)

    async def count_paid_twice(self, job: NativeJob, *, paid_twice: int, spend: Spend, now: int) -> None:
        """Store how many requests an ended job answered too late, and add them to its batch."""
        late = LateAnswerCount(job=job, paid_twice=paid_twice, spend=spend, at=now)
        await self._pool.write(lambda transaction: _count_paid_twice(transaction, late), repeatable=True)

    async def hold_shard(self, claim: Claim) -> bool:
        """Release a claim, and hold the shard if the end of a job will release it."""
        held = await self._pool.write(lambda transaction: _hold_shard(transaction, claim), repeatable=True)
        self._marks.release((claim.batch.key, claim.shard.index), claim.epoch)
        return held


def _seqs_of_chunk(row: Row) -> tuple[int, ...]:
    return unpack_seqs(row["seqs"])


async def _append_reused(transaction: Transaction, claim: Claim, chunk: ResultChunk) -> None:
    place = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    batch = await transaction.fetch_one("lock_batch_by_key", place)
    if batch is None or not batch["awaits_plan"] or batch["ended_at"] is not None:
        raise stale_claim(claim)
    if needs_storing(claim, chunk, finished_seqs(await transaction.fetch_all("finished_seqs", place))):
        numbered = await transaction.fetch_one("number_native_chunk", place)
        if numbered is None:
            raise stale_claim(claim)
        counts = batch_from_row(batch).counts
        await store_results(transaction, batch, {**place, "number": numbered["number"]}, chunk, counts)


async def _save_plan(transaction: Transaction, plan: StoredPlan, lane_changes: int) -> Sequence[QueuedShard] | None:
    params: Params = {"batch_key": plan.batch_key}
    batch = await transaction.fetch_one("end_planning", {**params, "lane_changes": lane_changes})
    if batch is None:
        return None
    planned = plan.jobs if batch["status"] == "in_progress" else ()
    for job in planned:
        await transaction.execute("insert_native_job", native_job_row(job))
    if plan.lanes and batch["status"] == "in_progress":
        await transaction.execute("insert_lanes", lanes_row(plan.batch_key, plan.lanes))
    held = await transaction.fetch_all("held_shards", params)
    active = await transaction.fetch_all("native_jobs_of_batch", params)
    shards = released_by_plan(plan, held, active, has_jobs=bool(planned))
    released = await _release_shards(transaction, plan.batch_key, shards)
    if lane_changes:  # a worker may have had the job of a shard when it was to get another one, and finds that now
        await notify(transaction, "steer", plan.batch_key)
    await close_answered_shards(transaction, plan.batch_key)  # by results that are taken over
    return released


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


async def _append_results(transaction: Transaction, job: NativeJob, chunks: Mapping[int, ResultChunk]) -> None:
    params = native_job_row(job)
    locking = await transaction.execute("lock_batch_by_key", params)
    found = await transaction.fetch_one("lock_native_job", params)
    batch = await locking.fetchone()
    if batch is None or found is None or found["state"] not in ACTIVE_STATES:
        raise stale_job(job)
    counts = batch_from_row(batch).counts
    for shard, chunk in chunks.items():
        numbered = await transaction.fetch_one("number_native_chunk", params | {"shard": shard})
        if numbered is None:
            raise closed_shard(job, shard)
        place = {"batch_key": job.batch_key, "shard": shard, "number": numbered["number"]}
        await store_results(transaction, batch, place, chunk, counts)
        counts = counts.with_results(chunk.succeeded, chunk.errored)


async def _end_job(transaction: Transaction, job: NativeJob, successor: NativeJob | None) -> Sequence[QueuedShard]:
    assert job.state not in ACTIVE_STATES
    params = native_job_row(job)
    batch = await transaction.fetch_one("lock_batch_by_key", params)
    found = await transaction.fetch_one("lock_native_job", params)
    if found is not None and found["state"] == job.state:
        return []  # an earlier attempt, whose response was lost, has deferred the queue jobs
    await _save_job(transaction, job)
    if successor is not None:
        await transaction.execute("insert_native_job", native_job_row(successor))
    awaits_plan = batch is not None and batch["awaits_plan"]
    held = [] if awaits_plan else await transaction.fetch_all("held_shards", params)
    released = await _release_shards(transaction, job.batch_key, shards_of_job(held, job.seqs))
    await close_answered_shards(transaction, job.batch_key)
    return released


async def _count_paid_twice(transaction: Transaction, late: LateAnswerCount) -> None:
    params = late_answers_row(late)
    await transaction.execute("lock_batch_by_key", params)
    if await transaction.fetch_one("set_paid_twice", params) is None:
        return
    batch = await transaction.fetch_one("count_late_answers", params)
    assert batch is not None
    await add_late_usage(transaction, batch, late)
    await transaction.execute("charge_budgets", spender_columns(charged_by_late_answers(batch, late), late.at))


async def _hold_shard(transaction: Transaction, claim: Claim) -> bool:
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
    batch = await transaction.fetch_one("lock_batch_by_key", shard_key)
    if batch is None or await transaction.fetch_one("lock_claimed_shard", shard_key) is None:
        return False
    withheld = withheld_seqs(await transaction.fetch_all("active_jobs_of_shard", shard_key), claim.shard)
    finished = finished_seqs(await transaction.fetch_all("finished_seqs", shard_key))
    held = batch["awaits_plan"] or can_hold(claim, withheld, finished)
    await transaction.execute("hold_shard", shard_key | {"held": held})
    if held:
        await transaction.execute("drop_queued_jobs", shard_key)
    else:
        await close_answered_shards(transaction, claim.batch.key)
    return held
