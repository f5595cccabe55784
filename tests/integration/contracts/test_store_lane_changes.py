"""What the store does when a batch is moved to another lane: it holds its shards until there is another plan."""

import msgspec
import pytest

from batchgate.engine.model.batch import Batch, ValidatedInput
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.native_job import unpack_set
from batchgate.engine.model.steering import Resume, SetLane
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.integration.contracts.test_store_steering import SteerableStore, actions, pause
from tests.support.native_jobs import ended, lane_part, planned, planned_with
from tests.support.stored_rows import chunk, claimed, create, end, new_batch

AnyStore = SqliteStore | PostgresStore


async def move(store: SteerableStore, lane: Lane) -> Batch:
    moved = await store.steering.steer_batch("w", "a", SetLane(lane=lane), by="key", now=1100)
    assert moved is not None
    assert moved == await store.find_batch("w", "a")
    return moved


async def released(store: AnyStore, batch: Batch, *, direct: list[int]) -> list[int]:
    """Save a plan with a job of request 0, and return the shards that it releases."""
    jobs = await store.save_plan(batch.key, [planned(batch, 0)], direct, [], lane_changes=batch.lane_changes)
    return [job.shard for job in jobs or ()]


async def test_each_move_of_a_batch_counts_and_only_one_that_may_need_more_jobs_awaits_a_plan(store: AnyStore) -> None:
    batch, _ = await planned_with(store, "a", [(0,)], direct=[0])
    lanes: list[Lane] = ["direct", "direct", "native", "auto"]
    moved = [await move(store, lane) for lane in lanes]
    assert [each.options.lane for each in moved] == lanes
    assert [(each.lane_changes, each.awaits_plan) for each in moved] == [(1, False), (1, False), (2, True), (3, True)]
    assert await store.save_plan(batch.key, [], [], [lane_part(9)], lane_changes=2) is None, "it was for another lane"
    assert await store.save_plan(batch.key, [], [], [lane_part(2)], lane_changes=3) is not None
    await store.save_plan(batch.key, [], [], [lane_part(1)], lane_changes=3)
    assert list(await store.lanes_of(batch.key)) == [lane_part(2)]
    native = await move(store, "native")
    assert await store.save_plan(batch.key, [], [], [lane_part(5)], lane_changes=native.lane_changes) is not None
    assert list(await store.lanes_of(batch.key)) == [lane_part(5)]
    assert (await move(store, "auto")).awaits_plan is False, "all requests of the lane native are in jobs"
    assert [entry[1:] for entry in await actions(store, batch.key)] == [
        ("lane_changed", "key", lane) for lane in ("direct", "native", "auto", "native", "auto")
    ]


async def test_a_moved_batch_is_planned_once_no_worker_has_a_shard_and_its_results_count_until_then(
    store: AnyStore,
) -> None:
    _, (first, second, third) = await create(store, "a", shards=3)
    claim = await claimed(store, first)
    batch = await move(store, "auto")
    assert await store.unplanned_batches() == await store.steering.suspended_batches() == [batch.key]
    assert await store.claim_shard(second) is None
    assert await store.unfinished_jobs() == [first]
    assert await store.find_unplanned(batch.key) is None
    await store.append_chunk(claim, chunk(1), shard_done=False)
    await store.release_shard(claim)
    assert await store.claim_shard(first) is None
    assert await store.unfinished_jobs() == []
    found = await store.find_unplanned(batch.key)
    assert found is not None
    assert (found.counts.succeeded, found.lane_changes) == (1, 1)
    assert await released(store, batch, direct=[1, 2]) == [1, 2]
    assert await store.find_unplanned(batch.key) is None
    assert await store.steering.suspended_batches() == []
    assert list(await store.unfinished_jobs()) == [second, third]
    await claimed(store, second)


@pytest.mark.parametrize("paused", [False, True])
async def test_the_claim_of_a_dead_process_keeps_a_moved_batch_from_its_plan_only_until_another_one_claims(
    store: AnyStore, paused: bool
) -> None:
    _, (job,) = await create(store, "a")
    dead = await claimed(store, job)
    batch = await move(store, "native")
    if paused:
        await pause(store, "a")
    assert await store.find_unplanned(batch.key) is None
    assert await store.claim_shard(job) is None
    assert await store.find_unplanned(batch.key) is not None
    with pytest.raises(StaleClaim):
        await store.append_chunk(dead, chunk(0), shard_done=False)
    await store.release_shard(dead)
    assert await released(store, batch, direct=[0]) == [0]
    assert await store.unfinished_jobs() == ([] if paused else [job])
    await store.release_shard(dead)
    await store.steering.steer_batch("w", "a", Resume(), by="", now=1200)
    assert (await claimed(store, job)).withheld == {0}


async def test_a_job_that_ends_while_a_moved_batch_awaits_its_plan_releases_no_shard_before_it(store: AnyStore) -> None:
    planned_batch, (queued,) = await planned_with(store, "a", [(1, 2), (4, 5)], direct=[0], shards=3)
    claim = await claimed(store, queued)
    first, second = await store.take_jobs()
    batch = await move(store, "native")
    assert await store.hold_shard(claim) is True, "its rest awaits the plan, not only the end of a job"
    assert await store.end_job(ended(first)) == []
    assert await store.end_job(ended(second)) == []
    assert await store.unfinished_jobs() == []
    jobs = await store.save_plan(
        planned_batch.key, [planned(batch, 0)], [], lane_changes=batch.lane_changes, kept=[second]
    )
    assert [job.shard for job in jobs or ()] == [2], "those of a job that has ended since the plan was begun"
    assert [unpack_set(job.seqs) for job in await store.jobs_of(batch.key)] == [[1, 2], [4, 5], [0]]


async def test_a_moved_batch_that_is_canceled_gets_no_jobs_and_one_with_all_results_is_not_moved(
    store: AnyStore,
) -> None:
    batch, (job,) = await create(store, "a")
    await move(store, "auto")
    await store.cancel_batch("w", "a", 1200)
    stopped = await move(store, "native")
    assert (stopped.options.lane, stopped.lane_changes) == ("auto", 1)
    assert await released(store, stopped, direct=[]) == [0]
    assert await store.jobs_of(batch.key) == []
    await end(store, batch, [job])
    answered, (job,) = await create(store, "b")
    assert await store.append_chunk(await claimed(store, job), chunk(0, 1), shard_done=True)
    for action in (SetLane(lane="direct"), SetLane(lane="auto")):
        found = await store.steering.steer_batch("w", "b", action, by="", now=1200)
        assert found is not None
        assert found.lane_changes == 0
    assert await actions(store, answered.key) == []


async def test_a_batch_that_is_moved_while_its_file_is_validated_awaits_its_plan_then(store: AnyStore) -> None:
    new = msgspec.structs.replace(new_batch("a"), input_blob=None, shards=())
    batch, _ = await store.create_batch(new)
    moved = await move(store, "native")
    assert await store.unplanned_batches() == []
    await store.add_orphan_blob("a/input")
    validated = ValidatedInput(input_blob="a/input", shards=new_batch("a", shards=2).shards, providers=("p",))
    assert await store.start_batch(batch.key, validated, 1100) == []
    assert await store.find_unplanned(batch.key) == await store.find_batch("w", "a")
    assert await released(store, moved, direct=[1]) == [1]
