"""Waiting jobs of batches that differ in priority exchange their places in the queue of several workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from batchgate.engine.model.priority import Contender, Priority
from batchgate.engine.model.shard import QueuedShard
from batchgate.queue.procrastinate import ProcrastinateQueue
from batchgate.store.postgres import PostgresStore
from tests.support.stored_rows import create

Stores = tuple[PostgresStore, PostgresStore]


@pytest.fixture
async def queue(url: str) -> AsyncIterator[ProcrastinateQueue]:
    async with ProcrastinateQueue(url, timeout=30.0) as queue:
        yield queue


async def rest(queue: ProcrastinateQueue) -> list[QueuedShard]:
    """Dequeue all jobs that are available now."""
    jobs = []
    while (job := await queue.try_dequeue()) is not None:
        jobs.append(job)
    return jobs


def contenders(priorities: Mapping[int, Priority]) -> dict[int, Contender]:
    return {key: Contender(workspace="w", priority=priority) for key, priority in priorities.items()}


async def create_three(store: PostgresStore, shards: int) -> tuple[int, int, int]:
    """Create two batches of one workspace and one of another, and return their keys."""
    first, _ = await create(store, "a", shards=shards)
    second, _ = await create(store, "b", shards=shards)
    other, _ = await create(store, "c", shards=shards, workspace="other")
    return first.key, second.key, other.key


async def test_a_raised_batch_gets_nine_of_ten_places_of_its_workspace_and_none_of_another_one(
    stores: Stores, queue: ProcrastinateQueue
) -> None:
    low, raised, other = await create_three(stores[0], 20)
    await queue.reorder(contenders({low: "normal", raised: "high"}))
    jobs = await rest(queue)
    assert [job.batch_key for job in jobs].count(other) == 20
    assert [number // 3 for number, job in enumerate(jobs) if job.batch_key == other] == list(range(20))
    mine = [job for job in jobs if job.batch_key != other]
    assert [job.batch_key for job in mine[:10]].count(low) == [job.batch_key for job in mine[10:20]].count(low) == 1
    for key in (low, raised):
        assert [job.shard for job in mine if job.batch_key == key] == list(range(20))


async def test_batches_that_have_become_equal_take_turns_again(stores: Stores, queue: ProcrastinateQueue) -> None:
    low, raised, _ = await create_three(stores[0], 20)
    await queue.reorder(contenders({low: "normal", raised: "high"}))
    await queue.reorder({})
    mine = [job.batch_key for job in await rest(queue) if job.batch_key in {low, raised}]
    assert mine == [low, raised] * 20


async def test_a_raised_shard_that_was_put_back_with_a_delay_is_available_at_once(
    stores: Stores, queue: ProcrastinateQueue
) -> None:
    low, raised, _ = await create_three(stores[0], 1)
    for job in await rest(queue):
        queue.release(job, delay=3600.0)
    while not (found := [job.batch_key for job in await rest(queue)]):  # until the release is written
        await queue.reorder(contenders({low: "low", raised: "normal"}))
    assert found == [raised]


async def test_two_workers_that_reorder_at_once_change_nothing_more(stores: Stores, queue: ProcrastinateQueue) -> None:
    low, raised, _ = await create_three(stores[0], 20)
    for _ in range(2):
        await queue.reorder(contenders({low: "normal", raised: "high"}))
    mine = [job.batch_key for job in await rest(queue) if job.batch_key in {low, raised}]
    assert mine[:20].count(low) == 2


async def test_a_batch_near_its_expiry_keeps_its_place_before_all_others(
    stores: Stores, queue: ProcrastinateQueue
) -> None:
    low, raised, other = await create_three(stores[0], 5)
    await queue.expedite([low])
    await queue.reorder(contenders({low: "low", raised: "high"}))
    assert [job.batch_key for job in await rest(queue)] == [low] * 5 + [raised, other] * 5


async def test_a_batch_beside_all_workspaces_has_nine_places_for_each_of_all_others_until_it_is_equal(
    stores: Stores, queue: ProcrastinateQueue
) -> None:
    first, second, raised = await create_three(stores[0], 30)
    beside_all = {raised: Contender(workspace="other", priority="high", scope="gateway")}
    await queue.reorder(beside_all)
    jobs = [await queue.try_dequeue() for _ in range(20)]
    places = [job.batch_key for job in jobs if job is not None]
    assert places.count(raised) == 18
    assert {first, second} <= set(places)
    await queue.reorder({})
    left = [(job.shard, job.batch_key) for job in await rest(queue)]
    assert left == sorted(left), "each is where it was"
