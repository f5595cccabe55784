"""Conversions between database rows and the jobs of the native lane, the same for every database."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.native_job import ACTIVE_STATES, NativeJob, bounds_of, unpack_between, unpack_set
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import ResultChunk, Shard
from batchgate.store.records import Row, spend_row, unpack_seqs


class LateAnswerCount(Struct, frozen=True, kw_only=True):
    """What an ended job answered too late."""

    job: NativeJob
    paid_twice: int
    spend: Spend
    at: int
    """When it was found, in microseconds since the epoch."""


class StoredPlan(Struct, frozen=True, kw_only=True):
    """What the plan of a batch stores."""

    batch_key: int
    jobs: Sequence[NativeJob]
    direct_shards: Sequence[int]
    lanes: Sequence[LanePart]
    kept: Sequence[NativeJob]
    """The jobs that were active when the plan was begun; it has none of their requests."""


def released_by_plan(plan: StoredPlan, held: Sequence[Row], jobs: Iterable[Row], *, has_jobs: bool) -> set[int]:
    """Return the indexes of the held shards that a plan releases.

    Those with direct requests, and those of jobs that have ended meanwhile: no other end of a job releases them. All
    of them, if there is no new job.
    """
    shards = {int(row["shard"]) for row in held}
    if not has_jobs:
        return shards
    active = {row["key"] for row in jobs if row["state"] in ACTIVE_STATES}
    ended = [job for job in plan.kept if job.key not in active]
    return shards.intersection(plan.direct_shards).union(*(shards_of_job(held, job.seqs) for job in ended))


def native_job_row(job: NativeJob) -> dict[str, object]:
    """Return the parameters that insert or change a job."""
    first_seq, last_seq = bounds_of(job.seqs)
    return msgspec.structs.asdict(job) | {"first_seq": first_seq, "last_seq": last_seq}


def native_job_from_row(row: Row) -> NativeJob:
    """Return the job in a row."""
    fields = {name: row[name] for name in NativeJob.__struct_fields__}
    return NativeJob(**{**fields, "cleaned": bool(row["cleaned"]), "replans": bool(row["replans"])})


def late_answers_row(late: LateAnswerCount) -> dict[str, int]:
    """Return the parameters that add the late answers of a job to its batch."""
    return {"key": late.job.key, "batch_key": late.job.batch_key, "paid_twice": late.paid_twice} | spend_row(late.spend)


def lanes_row(batch_key: int, lanes: Sequence[LanePart]) -> dict[str, object]:
    """Return the parameters that insert the lanes of a batch."""
    return {"batch_key": batch_key, "lanes": msgspec.json.encode(lanes)}


def lanes_from_row(row: Row | None) -> Sequence[LanePart]:
    """Return the lanes in a row; none if there is no row."""
    return () if row is None else msgspec.json.decode(row["lanes"], type=tuple[LanePart, ...])


def finished_seqs(rows: Iterable[Row]) -> frozenset[int]:
    """Return the seqs of chunks."""
    return frozenset(seq for row in rows for seq in unpack_seqs(row["seqs"]))


def withheld_seqs(rows: Iterable[Row], shard: Shard) -> frozenset[int]:
    """Return the seqs of a shard that belong to jobs."""
    first, stop = shard.seqs.start, shard.seqs.stop
    return frozenset(seq for row in rows for seq in unpack_between(row["seqs"], first, stop))


def can_hold(claim: Claim, withheld: frozenset[int], finished: frozenset[int]) -> bool:
    """Return whether the end of a job will release the shard, and nothing that the claim withheld can be sent now."""
    return bool(withheld - finished) and claim.withheld - finished <= withheld


def shards_of_job(rows: Iterable[Row], seqs: bytes) -> list[int]:
    """Return the indexes of the shards that have requests of a job."""
    members = unpack_set(seqs)
    found = []
    for row in rows:
        position = bisect_left(members, row["first_seq"])
        if position < len(members) and members[position] < row["first_seq"] + row["requests"]:
            found.append(int(row["shard"]))
    return found


def stale_job(job: NativeJob) -> StaleClaim:
    """Return the error for a job that has another epoch or has ended."""
    return StaleClaim(f"native job {job.token} is no longer held at epoch {job.epoch}")


def needs_storing(claim: Claim, chunk: ResultChunk, finished: frozenset[int]) -> bool:
    """Return whether the results of a chunk are to be stored; raises `StaleClaim` if only some of them are stored."""
    stored = finished.intersection(chunk.seqs)
    if stored and len(stored) < len(chunk.seqs):
        raise StaleClaim(f"requests of shard {claim.shard.index} of {claim.batch.id} have results by now")
    return not stored


def closed_shard(job: NativeJob, shard: int) -> StaleClaim:
    """Return the error for results of a shard that is done."""
    return StaleClaim(f"shard {shard} is done or gone, so results of native job {job.token} cannot be stored")
