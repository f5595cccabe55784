"""The jobs of the native lane in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.native_job import ACTIVE_STATES, NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.store.budget_records import charged_by_late_answers
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
)
from batchgate.store.queries import load_queries
from batchgate.store.records import batch_from_row, shard_job, stale_claim
from batchgate.store.sqlite.budgets import charge_budgets
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.steering import SqliteSteering
from batchgate.store.sqlite.transactions import close_answered_shards, fetch_finished, fetch_withheld, insert_results
from batchgate.store.sqlite.usage import add_late_usage

QUERIES: Final = load_queries("batchgate.store.sqlite", "native_jobs.sql")


class SqliteNativeJobs:
    """The part of a store that implements `NativeJobStore`."""

    steering: SqliteSteering

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def unplanned_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their plan."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["unplanned_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def find_unplanned(self, batch_key: int) -> Batch | None:
        """Read a batch that waits for its plan, and whose open shards are all held."""
        params = {"batch_key": batch_key}
        row = await self._file.read(lambda connection: connection.execute(QUERIES["find_unplanned"], params).fetchone())
        return None if row is None else batch_from_row(row)

    async def append_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Write results that requests of a held shard take over; nothing if they have them already."""
        await self._file.write(lambda connection: _append_reused(connection, claim, chunk))

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
        return await self._file.write(lambda connection: _save_plan(connection, plan, lane_changes))

    async def lanes_of(self, batch_key: int) -> Sequence[LanePart]:
        """Read which lanes the plan of a batch has chosen for its requests."""
        params = {"batch_key": batch_key}
        return await self._file.look_up(
            ("lanes_of_batch", batch_key),
            lambda c: lanes_from_row(c.execute(QUERIES["lanes_of_batch"], params).fetchone()),
        )

    async def take_jobs(self, *, new_only: bool = False) -> Sequence[NativeJob]:
        """Read all active jobs, or the new ones, with a new epoch each."""
        if new_only and not await self._file.read(lambda c: c.execute(QUERIES["has_new_jobs"]).fetchall()):
            return []
        params = {"new_only": new_only}
        rows = await self._file.write(lambda connection: connection.execute(QUERIES["take_jobs"], params).fetchall())
        return sorted((native_job_from_row(row) for row in rows), key=lambda job: job.key)

    async def jobs_of(self, batch_key: int) -> Sequence[NativeJob]:
        """Read all jobs of a batch in the order of their creation."""
        params = {"batch_key": batch_key}
        return await self._file.look_up(
            ("jobs_of_batch", batch_key),
            lambda c: [native_job_from_row(row) for row in c.execute(QUERIES["jobs_of_batch"], params)],
        )

    async def active_jobs(self, batch_keys: Collection[int]) -> Sequence[NativeJob]:
        """Read the active jobs of some batches."""
        params = {"batch_keys": msgspec.json.encode(list(batch_keys)).decode()}
        query = "active_jobs_of_batches"
        return await self._file.read(lambda c: [native_job_from_row(row) for row in c.execute(QUERIES[query], params)])

    async def save_job(self, job: NativeJob) -> None:
        """Write the changed fields of an active job."""
        await self._file.write(lambda connection: _save_job(connection, job))

    async def known_upstream_ids(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids that jobs of any batch have upstream."""
        params = {"ids": msgspec.json.encode(list(ids)).decode()}
        rows = await self._file.read(lambda c: c.execute(QUERIES["known_upstream_ids"], params).fetchall())
        return frozenset(row["upstream_id"] for row in rows)

    async def uncleaned_jobs(self, ended_after: int) -> Sequence[NativeJob]:
        """Read the jobs that ended after a time and may have something left upstream."""
        params = {"ended_after": ended_after}
        rows = await self._file.read(lambda c: c.execute(QUERIES["uncleaned_jobs"], params).fetchall())
        return [native_job_from_row(row) for row in rows]

    async def mark_cleaned(self, job: NativeJob) -> None:
        """Store that nothing of an ended job is left upstream."""
        params = {"key": job.key, "upstream_id": job.upstream_id}
        await self._file.write(lambda connection: connection.execute(QUERIES["mark_cleaned"], params))

    async def append_native_results(self, job: NativeJob, chunks: Mapping[int, ResultChunk]) -> None:
        """Write results of a job together, in a chunk for each shard."""
        if await self._file.write(lambda connection: _append_results(connection, job, chunks)):
            self.steering.signal_pause()

    async def finished_of(self, job: NativeJob) -> frozenset[int]:
        """Read the seqs that have durable results, of the shards from the first to the last request of a job."""
        params = native_job_row(job)
        return await self._file.read(lambda c: finished_seqs(c.execute(QUERIES["finished_between"], params)))

    async def end_job(self, job: NativeJob, successor: NativeJob | None = None) -> Sequence[QueuedShard]:
        """Write a job in a final state, store its successor, and release the held shards with requests of it."""
        return await self._file.write(lambda connection: _end_job(connection, job, successor))

    async def count_paid_twice(self, job: NativeJob, *, paid_twice: int, spend: Spend, now: int) -> None:
        """Store how many requests an ended job answered too late, and add them to its batch."""
        late = LateAnswerCount(job=job, paid_twice=paid_twice, spend=spend, at=now)
        await self._file.write(lambda connection: _count_paid_twice(connection, late))

    async def hold_shard(self, claim: Claim) -> bool:
        """Release a claim, and hold the shard if the end of a job will release it."""
        return await self._file.write(lambda connection: _hold_shard(connection, claim))


def _append_reused(connection: sqlite3.Connection, claim: Claim, chunk: ResultChunk) -> None:
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    if connection.execute(QUERIES["awaits_plan"], shard_key).fetchone() is None:
        raise stale_claim(claim)
    if needs_storing(claim, chunk, fetch_finished(connection, shard_key)):
        insert_results(connection, shard_key, chunk, shards_done=0)


def _save_plan(connection: sqlite3.Connection, plan: StoredPlan, lane_changes: int) -> Sequence[QueuedShard] | None:
    params = {"batch_key": plan.batch_key}
    batch = connection.execute(QUERIES["end_planning"], params | {"lane_changes": lane_changes}).fetchone()
    if batch is None:
        return None
    planned = plan.jobs if batch["status"] == "in_progress" else ()
    connection.executemany(QUERIES["insert_job"], [native_job_row(job) for job in planned])
    if plan.lanes and batch["status"] == "in_progress":
        connection.execute(QUERIES["insert_lanes"], lanes_row(plan.batch_key, plan.lanes))
    held = connection.execute(QUERIES["held_shards"], params).fetchall()
    active = connection.execute(QUERIES["jobs_of_batch"], params).fetchall()
    released = _release_shards(connection, plan.batch_key, released_by_plan(plan, held, active, has_jobs=bool(planned)))
    close_answered_shards(connection, plan.batch_key)  # by results that are taken over
    return released


def _release_shards(connection: sqlite3.Connection, batch_key: int, shards: Iterable[int]) -> Sequence[QueuedShard]:
    """Release held shards, and return the jobs to enqueue."""
    released = sorted(shards)
    connection.executemany(
        QUERIES["release_held_shard"], [{"batch_key": batch_key, "shard": shard} for shard in released]
    )
    return [shard_job(batch_key, shard) for shard in released]


def _save_job(connection: sqlite3.Connection, job: NativeJob) -> None:
    if connection.execute(QUERIES["save_job"], native_job_row(job)).rowcount == 0:
        raise stale_job(job)


def _append_results(connection: sqlite3.Connection, job: NativeJob, chunks: Mapping[int, ResultChunk]) -> bool:
    """Store results; return whether they have paused the batch."""
    _find_active(connection, job)
    paused = False
    for shard, chunk in chunks.items():
        shard_key = {"batch_key": job.batch_key, "shard": shard}
        if connection.execute(QUERIES["find_open_shard"], shard_key).fetchone() is None:
            raise closed_shard(job, shard)
        paused = insert_results(connection, shard_key, chunk, shards_done=0).paused or paused
    return paused


def _find_active(connection: sqlite3.Connection, job: NativeJob) -> None:
    """Raise `StaleClaim` unless a job is active and has this epoch."""
    found = connection.execute(QUERIES["find_held_job"], native_job_row(job)).fetchone()
    if found is None or found["state"] not in ACTIVE_STATES:
        raise stale_job(job)


def _end_job(connection: sqlite3.Connection, job: NativeJob, successor: NativeJob | None) -> Sequence[QueuedShard]:
    assert job.state not in ACTIVE_STATES
    found = connection.execute(QUERIES["find_held_job"], native_job_row(job)).fetchone()
    if found is not None and found["state"] == job.state:
        return []
    _save_job(connection, job)
    if successor is not None:
        connection.execute(QUERIES["insert_job"], native_job_row(successor))
    params = {"batch_key": job.batch_key}
    awaits_plan = connection.execute(QUERIES["awaits_plan"], params).fetchone() is not None
    held = [] if awaits_plan else connection.execute(QUERIES["held_shards"], params).fetchall()
    released = _release_shards(connection, job.batch_key, shards_of_job(held, job.seqs))
    close_answered_shards(connection, job.batch_key)
    return released


def _count_paid_twice(connection: sqlite3.Connection, late: LateAnswerCount) -> None:
    params = late_answers_row(late)
    if connection.execute(QUERIES["set_paid_twice"], params).rowcount == 0:
        return
    batch = connection.execute(QUERIES["count_late_answers"], params).fetchone()
    add_late_usage(connection, batch, late)
    charge_budgets(connection, charged_by_late_answers(batch, late))


def _hold_shard(connection: sqlite3.Connection, claim: Claim) -> bool:
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    found = connection.execute(QUERIES["find_claimed_shard"], shard_key | {"epoch": claim.epoch}).fetchone()
    if found is None:
        return False
    withheld = fetch_withheld(connection, shard_key, claim.shard)
    awaits_plan = connection.execute(QUERIES["awaits_plan"], shard_key).fetchone() is not None
    held = awaits_plan or can_hold(claim, withheld, fetch_finished(connection, shard_key))
    connection.execute(QUERIES["hold_shard"], shard_key | {"held": held})
    if not held:
        close_answered_shards(connection, claim.batch.key)
    return held
