"""The contract of `NativeJobStore` for a job whose unanswered requests go into another one, on every database."""

import msgspec

from batchgate.engine.model.native_job import unpack_set
from batchgate.engine.ports.store import Store
from tests.support.databases import Database
from tests.support.native_jobs import ended, planned, planned_with, taken
from tests.support.stored_rows import chunk, claimed


async def test_the_successor_of_a_job_is_stored_once_with_its_end_and_withholds_its_requests(store: Store) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1)], direct=[])
    job = await taken(store)
    await store.append_native_results(job, {0: chunk(0)})
    over = ended(job, "failed")
    successor = planned(batch, 1)
    (released,) = await store.end_job(over, successor)
    assert await store.end_job(over, successor) == []
    assert [(job.state, unpack_set(job.seqs)) for job in await store.jobs_of(batch.key)] == [
        ("failed", [0, 1]),
        ("planned", [1]),
    ]
    claim = await claimed(store, released)
    assert (set(claim.finished), set(claim.withheld)) == ({0}, {1})
    assert await store.hold_shard(claim) is True
    (new,) = await store.take_jobs(new_only=True)
    assert unpack_set(new.seqs) == [1]
    assert await store.end_job(ended(new, "withdrawn")) == [released]


async def test_a_job_that_was_canceled_for_a_pause_is_known_after_a_restart(database: Database) -> None:
    async with database.store() as store:
        await planned_with(store, "a", [(0, 1)], direct=[])
        canceled = msgspec.structs.replace(await taken(store), state="running", cancel_requested_at=5, replans=True)
        await store.save_job(canceled)
    async with database.store() as store:
        assert msgspec.structs.replace(await taken(store), epoch=canceled.epoch) == canceled
