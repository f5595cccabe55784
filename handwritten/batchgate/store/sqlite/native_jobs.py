"""The jobs of the native lane in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

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
)
from batchgate.store.queries import load_queries
from batchgate.store.records import shard_job
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.transactions import fetch_finished, fetch_withheld, insert_results

QUERIES: Final = load_queries("batchgate.store.sqlite", "native_jobs.sql")


class SqliteNativeJobs:
    """The part of a store that implements `NativeJobStore`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def unplanned_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their plan."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["unplanned_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def save_plan(
        self, batch_key: int, jobs: Sequence[NativeJob], direct_shards: Sequence[int]
    ) -> Sequence[QueuedShard]:
        """Store the jobs of a batch, and release shards; does nothing if the batch has its plan."""
        return await self._file.write(lambda connection: _save_plan(connection, batch_key, jobs, direct_shards))

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
        rows = await self._file.read(lambda c: c.execute(QUERIES["jobs_of_batch"], params).fetchall())
        return [native_job_from_row(row) for row in rows]

    async def save_job(self, job: NativeJob) -> None:
        """Write the changed fields of an active job."""
        await self._file.write(lambda connection: _save_job(connection, job))

    async def append_native_results(self, job: NativeJob, shard: int, chunk: ResultChunk) -> None:
        """Write results of a job that belong to one shard."""
        await self._file.write(lambda connection: _append_results(connection, job, shard, chunk))

    async def finished_of(self, job: NativeJob) -> frozenset[int]:
        """Read the seqs that have durable results, of the shards from the first to the last request of a job."""
        params = native_job_row(job)
        return await self._file.read(lambda c: finished_seqs(c.execute(QUERIES["finished_between"], params)))

    async def end_job(self, job: NativeJob) -> Sequence[QueuedShard]:
        """Write a job in a final state, and release the held shards with requests of it."""
        return await self._file.write(lambda connection: _end_job(connection, job))

    async def hold_shard(self, claim: Claim) -> bool:
        """Release a claim, and hold the shard if the end of a job will release it."""
        return await self._file.write(lambda connection: _hold_shard(connection, claim))


def _save_plan(
    connection: sqlite3.Connection, batch_key: int, jobs: Sequence[NativeJob], direct_shards: Sequence[int]
) -> Sequence[QueuedShard]:
    batch = connection.execute(QUERIES["end_planning"], {"batch_key": batch_key}).fetchone()
    if batch is None:
        return []
    planned = jobs if batch["status"] == "in_progress" else ()
    connection.executemany(QUERIES["insert_job"], [native_job_row(job) for job in planned])
    held = [row["shard"] for row in connection.execute(QUERIES["held_shards"], {"batch_key": batch_key})]
    return _release_shards(connection, batch_key, set(held).intersection(direct_shards) if planned else held)


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


def _append_results(connection: sqlite3.Connection, job: NativeJob, shard: int, chunk: ResultChunk) -> None:
    _find_active(connection, job)
    shard_key = {"batch_key": job.batch_key, "shard": shard}
    if connection.execute(QUERIES["find_open_shard"], shard_key).fetchone() is None:
        raise closed_shard(job, shard)
    insert_results(connection, job.batch_key, shard, chunk, shards_done=0)


def _find_active(connection: sqlite3.Connection, job: NativeJob) -> None:
    """Raise `StaleClaim` unless a job is active and has this epoch."""
    found = connection.execute(QUERIES["find_held_job"], native_job_row(job)).fetchone()
    if found is None or found["state"] not in ACTIVE_STATES:
        raise stale_job(job)


def _end_job(connection: sqlite3.Connection, job: NativeJob) -> Sequence[QueuedShard]:
    assert job.state not in ACTIVE_STATES
    found = connection.execute(QUERIES["find_held_job"], native_job_row(job)).fetchone()
    if found is not None and found["state"] == job.state:
        return []
    _save_job(connection, job)
    held = connection.execute(QUERIES["held_shards"], {"batch_key": job.batch_key}).fetchall()
    return _release_shards(connection, job.batch_key, shards_of_job(held, job.seqs))


def _hold_shard(connection: sqlite3.Connection, claim: Claim) -> bool:
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    found = connection.execute(QUERIES["find_claimed_shard"], shard_key | {"epoch": claim.epoch}).fetchone()
    if found is None:
        return False
    withheld = fetch_withheld(connection, shard_key, claim.shard)
    held = can_hold(claim, withheld, fetch_finished(connection, shard_key))
    connection.execute(QUERIES["hold_shard"], shard_key | {"held": held})
    return held
