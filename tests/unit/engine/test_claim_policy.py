"""When one of several workers claims the next shard; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from batchgate.engine.dispatch.admission import AdmissionControl, LimiterKey, RequestLoad
from batchgate.engine.dispatch.claim_policy import (
    CLAIM_INTERVAL,
    FIRST_BACKOFF,
    MAX_BACKOFF,
    RECLAIM_INTERVAL,
    ClaimAllPolicy,
    FairClaimPolicy,
)
from batchgate.engine.model.shard import SHARD_REQUESTS, QueuedShard
from batchgate.queue import MemoryQueue
from tests.support.virtual_time import in_virtual_time

KEY: LimiterKey = ("a", "m")


def job(shard: int) -> QueuedShard:
    return QueuedShard(priority=shard, batch_key=1, shard=shard)


async def no_jobs() -> list[QueuedShard]:
    return []


def queue_of(shards: int) -> MemoryQueue:
    queue = MemoryQueue(no_jobs)
    queue.enqueue([job(shard) for shard in range(shards)])
    return queue


def with_a_deferred_shard() -> AdmissionControl:
    admission = AdmissionControl(list[QueuedShard]().extend, requests=3)
    assert admission.try_admit(KEY, 1)
    admission.defer(job(99), {KEY: RequestLoad(10, 10)})
    return admission


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_while_no_shard_is_deferred_shards_are_claimed_at_once() -> None:
    policy, queue, admission = FairClaimPolicy(), queue_of(3), AdmissionControl(list[QueuedShard]().extend)
    assert [await policy.next_job(queue, admission) for _ in range(3)] == [job(0), job(1), job(2)]
    assert now() == 0


@in_virtual_time
async def test_while_a_shard_is_deferred_one_is_claimed_per_interval() -> None:
    policy, queue, admission = FairClaimPolicy(), queue_of(3), with_a_deferred_shard()
    for number in range(3):
        assert await policy.next_job(queue, admission) == job(number)
        assert now() == (number + 1) * CLAIM_INTERVAL


@in_virtual_time
async def test_after_a_shard_that_is_not_admitted_the_next_is_claimed_soon() -> None:
    # At one per interval, the shards of a paused model would keep the worker from those behind them.
    policy, queue, admission = FairClaimPolicy(), queue_of(3), with_a_deferred_shard()
    assert await policy.next_job(queue, admission) == job(0)
    for number in (1, 2):
        waiting = asyncio.create_task(policy.next_job(queue, admission))
        for _ in range(3):  # until the task waits
            await asyncio.sleep(0)
        policy.backoff_for(job(number - 1))
        assert await waiting == job(number)
        assert now() == pytest.approx(CLAIM_INTERVAL + number * RECLAIM_INTERVAL)


@in_virtual_time
async def test_an_announced_shard_may_be_deferred_so_the_next_claim_waits() -> None:
    policy, queue, admission = FairClaimPolicy(), queue_of(2), AdmissionControl(list[QueuedShard]().extend)
    admission.announce(await policy.next_job(queue, admission))
    waiting = asyncio.create_task(policy.next_job(queue, admission))
    await asyncio.sleep(CLAIM_INTERVAL / 2)
    assert not waiting.done()
    admission.use_reservation(job(0))
    await asyncio.sleep(0)
    assert await waiting == job(1)
    assert now() == CLAIM_INTERVAL / 2


@in_virtual_time
async def test_the_backoff_of_a_shard_doubles_until_requests_of_it_are_admitted() -> None:
    policy = FairClaimPolicy()
    backoffs = [policy.backoff_for(job(1)) for _ in range(8)]
    assert backoffs[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert backoffs[-1] == MAX_BACKOFF
    policy.on_progress(job(1))
    assert policy.backoff_for(job(1)) == FIRST_BACKOFF


@in_virtual_time
async def test_after_a_release_the_worker_waits_so_that_another_one_claims_the_shard() -> None:
    policy, queue, admission = FairClaimPolicy(), queue_of(1), AdmissionControl(list[QueuedShard]().extend)
    policy.on_released()
    assert await policy.next_job(queue, admission) == job(0)
    assert now() == CLAIM_INTERVAL


@in_virtual_time
async def test_a_worker_that_is_alone_claims_every_shard_and_returns_none() -> None:
    policy, queue, admission = ClaimAllPolicy(), queue_of(2), with_a_deferred_shard()
    assert [await policy.next_job(queue, admission) for _ in range(2)] == [job(0), job(1)]
    assert policy.backoff_for(job(1)) is None
    assert now() == 0


@in_virtual_time
async def test_a_single_model_has_capacity_for_a_whole_shard_beside_its_calls_in_flight() -> None:
    # With less, a shard was admitted in parts, each when all calls of the part before had ended.
    for concurrency in (1, 64, 1_000):
        admission = AdmissionControl(list[QueuedShard]().extend, requests=FairClaimPolicy().capacity(concurrency))
        for _ in range(concurrency):
            assert admission.try_admit(KEY, 1)
        admitted = 0
        while admission.try_admit(KEY, 1):
            admitted += 1
        assert admitted >= SHARD_REQUESTS
