"""Batches with plans and native jobs in a store, for tests that call the store directly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.lane import LanePart, LaneReason
from batchgate.engine.model.native_job import JobState, NativeJob, pack_set
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.ports.store import Store
from tests.support.stored_rows import input_of, new_batch

_NUMBERS = count(1)


def planned(batch: Batch, *seqs: int) -> NativeJob:
    """Return a job of a batch that is not stored yet."""
    return NativeJob(
        batch_key=batch.key,
        token=f"token-{next(_NUMBERS)}",
        account="openai",
        model="gpt",
        kind="chat_completions",
        seqs=pack_set(seqs),
        requests=len(seqs),
        tokens=10 * len(seqs),
        created_at=1001,
    )


def lane_part(requests: int = 2) -> LanePart:
    """Return a part of a batch that runs directly."""
    reason = LaneReason("not_accepted", "stream: a batch cannot stream")
    return LanePart(account="openai", model="gpt", lane="direct", reason=reason, requests=requests)


async def unplanned(store: Store, batch_id: str, *, shards: int = 1) -> Batch:
    """Store a batch that awaits its plan, with two requests per shard."""
    new = msgspec.structs.replace(new_batch(batch_id, shards=shards), planned=True)
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    assert list(jobs) == []
    return batch


async def planned_with(
    store: Store, batch_id: str, jobs: Sequence[Sequence[int]], *, direct: Sequence[int], shards: int = 1
) -> tuple[Batch, list[QueuedShard]]:
    """Store a batch with a plan, whose jobs have these seqs; return what to enqueue."""
    batch = await unplanned(store, batch_id, shards=shards)
    return batch, list(await store.save_plan(batch.key, [planned(batch, *seqs) for seqs in jobs], direct) or ())


async def taken(store: Store) -> NativeJob:
    """Take the only active job."""
    (job,) = await store.take_jobs()
    return job


def ended(job: NativeJob, state: JobState = "done") -> NativeJob:
    """Return a job in a final state."""
    return msgspec.structs.replace(job, state=state, ended_at=2000)
