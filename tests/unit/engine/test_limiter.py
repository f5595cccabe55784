"""The limiter of a model: which calls start, which wait, and for how long; in virtual time."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from math import inf

from batchgate.engine.dispatch.limits import (
    ABANDONED,
    SERVED,
    AccountLimits,
    CallOutcome,
    Limiter,
    OutcomeKind,
    Precedence,
)
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare
from tests.support.engine_parts import account
from tests.support.limiters import acquire, make_limiter, now, refused, start_times
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_no_more_calls_are_in_flight_than_the_cap_allows() -> None:
    assert await start_times(make_limiter(cap=2), 6, duration=1.0) == [0, 0, 1, 1, 2, 2]


@in_virtual_time
async def test_the_first_requests_of_a_new_batch_go_before_the_later_ones_of_an_old_batch() -> None:
    limiter = make_limiter(cap=1)
    (permit,) = await acquire(limiter, 1)
    started: list[Precedence] = []

    async def call(precedence: Precedence) -> None:
        mine = await limiter.acquire(precedence)
        started.append(precedence)
        limiter.release(mine, SERVED)

    precedences: list[Precedence] = [(0, 7, 1), (0, 9, 1), (0, 0, 2), (0, 8, 2), (1, 0, 1)]
    calls = [asyncio.create_task(call(precedence)) for precedence in precedences]
    await asyncio.sleep(1)
    limiter.release(permit, SERVED)
    await asyncio.gather(*calls)
    assert started == [(0, 0, 2), (0, 7, 1), (0, 8, 2), (0, 9, 1), (1, 0, 1)]


@in_virtual_time
async def test_a_cancelled_waiter_leaves_its_turn_to_the_next() -> None:
    limiter = make_limiter(cap=1)
    (permit,) = await acquire(limiter, 1)
    waiting = [asyncio.create_task(limiter.acquire((0, number, 1))) for number in range(200)]
    await asyncio.sleep(1)
    for task in waiting[:-1]:
        task.cancel()
    limiter.release(permit, SERVED)
    assert (await waiting[-1]).started_at == 1
    assert (limiter.in_flight, limiter.waiting) == (1, 0)


@in_virtual_time
async def test_a_call_that_is_cancelled_while_it_is_admitted_releases_its_permit() -> None:
    limiter = make_limiter(cap=1)
    (permit,) = await acquire(limiter, 1)
    waiting = asyncio.create_task(limiter.acquire((0, 0, 1)))
    await asyncio.sleep(1)
    limiter.release(permit, SERVED)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert limiter.in_flight == 0
    assert await acquire(limiter, 1)


@in_virtual_time
async def test_when_all_calls_are_refused_none_starts_before_the_retry_after_and_then_one_alone() -> None:
    limiter = make_limiter(cap=8)
    for permit in await acquire(limiter, 8):
        limiter.release(permit, refused(retry_after=20))
    times = await start_times(limiter, 8, duration=1.0)
    assert 20 <= times[0] <= 22
    assert times[1] >= times[0] + 1
    assert times[-1] <= times[0] + 4


@in_virtual_time
async def test_a_refusal_while_others_are_served_starts_no_cooldown() -> None:
    limiter = make_limiter(cap=4)
    *served, last = await acquire(limiter, 4)
    limiter.release(last, refused(retry_after=60))
    for permit in served:
        limiter.release(permit, SERVED)
    assert await start_times(limiter, 3) == [0, 0, 0]


@in_virtual_time
async def test_a_refused_call_starts_before_its_delay_ends_only_after_a_later_call_was_served() -> None:
    limiter = make_limiter(cap=2)
    early, late = await acquire(limiter, 2)
    await asyncio.sleep(1)
    limiter.release(late, refused(retry_after=60))
    delayed = asyncio.create_task(limiter.acquire((0, 1, 1), delay=60, refused=True))
    await asyncio.sleep(1)
    limiter.release(early, SERVED)  # it started before the refusal, so it proves nothing
    (later,) = await acquire(limiter, 1)
    await asyncio.sleep(1)
    assert not delayed.done()
    limiter.release(later, SERVED)
    assert (await delayed).started_at == 3


@in_virtual_time
async def test_a_call_that_failed_otherwise_waits_for_its_whole_delay_even_if_the_limiter_is_idle() -> None:
    limiter = make_limiter()
    delayed = asyncio.create_task(limiter.acquire((0, 0, 1), delay=5))
    await asyncio.sleep(1)
    for permit in await acquire(limiter, 3):
        limiter.release(permit, SERVED)
    assert (await delayed).started_at == 5


@in_virtual_time
async def test_one_long_call_does_not_block_a_limiter_whose_limit_was_reduced_to_it() -> None:
    limiter = make_limiter(cap=8)
    _long, *others = await acquire(limiter, 8)
    for permit in others:
        limiter.release(permit, refused())
    assert limiter.limit == 1
    times = await start_times(limiter, 4, duration=0.1)
    assert max(times) < 15


@in_virtual_time
async def test_refusals_without_a_retry_after_lengthen_the_cooldown() -> None:
    limiter = make_limiter()
    times = []
    for _ in range(8):
        permit = await limiter.acquire((0, 0, 1))
        times.append(permit.started_at)
        limiter.release(permit, refused())
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] <= 2
    assert 15 <= pauses[-1] <= 30


@in_virtual_time
async def test_a_repeated_retry_after_of_zero_does_not_lead_to_calls_without_a_cooldown() -> None:
    limiter = make_limiter()
    for _ in range(20):
        limiter.release(await limiter.acquire((0, 0, 1)), refused(retry_after=0))
    assert now() > 20


@in_virtual_time
async def test_requests_per_minute_are_not_exceeded_and_spread_evenly() -> None:
    times = await start_times(make_limiter(cap=100, requests_per_minute=120), 241)
    assert times[-1] >= 119.9
    assert all(later - earlier > 0.4 for earlier, later in pairwise(times[1:]))


@in_virtual_time
async def test_all_models_of_an_account_share_its_requests_per_minute() -> None:
    limits = AccountLimits(account(requests_per_minute=60), random.Random(1))
    limiters = [Limiter(limits, model, 100) for model in ("one", "two")]
    await asyncio.gather(*(start_times(limiter, 30) for limiter in limiters))
    assert 58 <= now() <= 60


@in_virtual_time
async def test_tokens_per_minute_count_as_estimated_and_then_as_used() -> None:
    limiter = make_limiter(cap=100, tokens_per_minute=6_000)
    for _ in range(3):
        permit = await limiter.acquire((0, 0, 1), tokens=1_000)
        limiter.record_tokens(permit, 100)
        limiter.release(permit, SERVED)
    assert 1.8 <= now() <= 2.0


@in_virtual_time
async def test_abandoned_calls_change_nothing() -> None:
    limiter = make_limiter(cap=4)
    for permit in await acquire(limiter, 4):
        limiter.release(permit, ABANDONED)
    assert (limiter.limit, limiter.in_flight) == (4, 0)


@in_virtual_time
async def test_under_a_smaller_share_no_call_starts_until_enough_have_ended() -> None:
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    limiter = Limiter(shared, "m", 4)
    permits = await acquire(limiter, 4)
    waiting = asyncio.create_task(limiter.acquire((0, 9, 1)))
    shared.set_share(LimitShare(0.0, 0.5), inf)
    within = [limiter.within_share]
    for permit in permits[:2]:
        limiter.release(permit, SERVED)
        await asyncio.sleep(0)
        assert not waiting.done()
        within.append(limiter.within_share)
    assert within == [False, False, True]
    limiter.release(permits[2], SERVED)
    await waiting


@in_virtual_time
async def test_a_larger_share_admits_waiting_calls() -> None:
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    shared.set_share(LimitShare(0.0, 0.25), inf)
    limiter = Limiter(shared, "m", 4)
    waiting = [asyncio.create_task(limiter.acquire((0, number, 1))) for number in range(4)]
    await asyncio.sleep(0)
    assert limiter.in_flight == 1
    shared.set_share(FULL_SHARE, inf)
    await asyncio.gather(*waiting)


@in_virtual_time
async def test_without_a_share_no_call_starts_not_even_a_probe() -> None:
    shared = AccountLimits(account(concurrency=1), random.Random(1))
    limiter = Limiter(shared, "m", 1)
    (permit,) = await acquire(limiter, 1)
    limiter.release(permit, CallOutcome(OutcomeKind.UNREACHABLE))
    shared.set_share(LimitShare(0.0, 0.5), inf)
    assert limiter.without_share
    waiting = asyncio.create_task(limiter.acquire((0, 1, 1)))
    await asyncio.sleep(1000.0)
    assert not waiting.done()
    shared.set_share(FULL_SHARE, inf)
    await waiting


@in_virtual_time
async def test_a_share_that_is_not_renewed_expires() -> None:
    # A worker that cannot reach its cluster may be considered dead, and its share be given to another worker.
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    limiter = Limiter(shared, "m", 4)
    shared.set_share(FULL_SHARE, 10.0)
    await acquire(limiter, 1)
    await asyncio.sleep(11.0)
    waiting = asyncio.create_task(limiter.acquire((0, 1, 1)))
    await asyncio.sleep(100.0)
    assert not waiting.done()
    shared.set_share(FULL_SHARE, now() + 10.0)
    await waiting


@in_virtual_time
async def test_the_requests_per_minute_are_divided_like_the_calls_in_flight() -> None:
    shared = AccountLimits(account(concurrency=64, requests_per_minute=60), random.Random(1))
    shared.set_share(LimitShare(0.0, 0.25), inf)
    times = await start_times(Limiter(shared, "m", 64), 5)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [4, 4, 4, 4]
