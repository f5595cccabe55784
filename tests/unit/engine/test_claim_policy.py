"""When a worker that is not alone takes another shard; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from batchgate.engine.dispatch.admission import AdmissionBuffer, Amount, LimiterKey
from batchgate.engine.dispatch.claim_policy import CURIOSITY, FIRST_REST, LONGEST_REST, NEXT_LOOK, ClaimAll, FairClaim
from batchgate.engine.model.shard import SHARD_REQUESTS, ShardJob
from batchgate.queue import MemoryQueue
from tests.support.virtual_time import in_virtual_time

GATE: LimiterKey = ("a", "m")


def job(shard: int) -> ShardJob:
    return ShardJob(priority=shard, batch_key=1, shard=shard)


async def nothing() -> list[ShardJob]:
    return []


def queue_of(shards: int) -> MemoryQueue:
    queue = MemoryQueue(nothing)
    queue.enqueue([job(shard) for shard in range(shards)])
    return queue


def room_with_one_outside() -> AdmissionBuffer:
    room = AdmissionBuffer(list[ShardJob]().extend, requests=3)
    assert room.take(GATE, 1)
    room.park(job(99), {GATE: Amount(10, 10)})
    return room


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_while_nothing_waits_for_room_shards_are_taken_as_they_come() -> None:
    claim_policy, queue, room = FairClaim(), queue_of(3), AdmissionBuffer(list[ShardJob]().extend)
    assert [await claim_policy.next_job(queue, room) for _ in range(3)] == [job(0), job(1), job(2)]
    assert now() == 0


@in_virtual_time
async def test_while_something_waits_for_room_one_is_taken_a_second() -> None:
    claim_policy, queue, room = FairClaim(), queue_of(3), room_with_one_outside()
    for number in range(3):
        assert await claim_policy.next_job(queue, room) == job(number)
        assert now() == (number + 1) * CURIOSITY


@in_virtual_time
async def test_after_a_shard_that_there_is_no_room_for_the_next_is_looked_at_soon() -> None:
    # Or those of a model that stands still, looked at one a second, would keep from view all that is behind them.
    claim_policy, queue, room = FairClaim(), queue_of(3), room_with_one_outside()
    assert await claim_policy.next_job(queue, room) == job(0)
    for number in (1, 2):
        waiting = asyncio.create_task(claim_policy.next_job(queue, room))
        for _ in range(3):  # until it waits
            await asyncio.sleep(0)
        claim_policy.rest_of(job(number - 1))
        assert await waiting == job(number)
        assert now() == pytest.approx(CURIOSITY + number * NEXT_LOOK)


@in_virtual_time
async def test_a_shard_that_has_not_been_looked_into_yet_may_need_room() -> None:
    claim_policy, queue, room = FairClaim(), queue_of(2), AdmissionBuffer(list[ShardJob]().extend)
    room.arrive(await claim_policy.next_job(queue, room))
    waiting = asyncio.create_task(claim_policy.next_job(queue, room))
    await asyncio.sleep(CURIOSITY / 2)
    assert not waiting.done()
    room.expect(job(0))
    await asyncio.sleep(0)
    assert await waiting == job(1)
    assert now() == CURIOSITY / 2


@in_virtual_time
async def test_a_shard_that_is_refused_rests_longer_from_time_to_time_until_something_of_it_is_taken() -> None:
    claim_policy = FairClaim()
    rests = [claim_policy.rest_of(job(1)) for _ in range(8)]
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert rests[-1] == LONGEST_REST
    claim_policy.taken(job(1))
    assert claim_policy.rest_of(job(1)) == FIRST_REST


@in_virtual_time
async def test_who_passed_a_shard_on_stands_back_so_that_another_takes_it() -> None:
    claim_policy, queue, room = FairClaim(), queue_of(1), AdmissionBuffer(list[ShardJob]().extend)
    claim_policy.passed_on()
    assert await claim_policy.next_job(queue, room) == job(0)
    assert now() == CURIOSITY


@in_virtual_time
async def test_one_that_is_alone_takes_whatever_comes_and_gives_nothing_back() -> None:
    claim_policy, queue, room = ClaimAll(), queue_of(2), room_with_one_outside()
    assert [await claim_policy.next_job(queue, room) for _ in range(2)] == [job(0), job(1)]
    assert claim_policy.rest_of(job(1)) is None
    assert now() == 0


@in_virtual_time
async def test_a_model_alone_has_room_for_a_whole_shard_beside_the_calls_that_keep_it_going() -> None:
    # With less a shard was taken in parts, each when all calls of the one before had ended.
    for concurrency in (1, 64, 1_000):
        room = AdmissionBuffer(list[ShardJob]().extend, requests=FairClaim().room(concurrency))
        for _ in range(concurrency):
            assert room.take(GATE, 1)
        taken = 0
        while room.take(GATE, 1):
            taken += 1
        assert taken >= SHARD_REQUESTS
