"""The gate in front of a model: who enters, who waits, and for how long; in virtual time."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from math import inf
from typing import Any

from batchgate.engine.dispatch.limits import (
    ABANDONED,
    SERVED,
    AccountLimits,
    Limiter,
    Outcome,
    OutcomeKind,
    Permit,
    Precedence,
)
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare
from batchgate.engine.model.provider_call import Allowance
from tests.support.engine_parts import account
from tests.support.virtual_time import in_virtual_time


def limiter(cap: int = 4, **fields: Any) -> Limiter:
    return Limiter(AccountLimits(account(**fields), random.Random(1)), "m", cap)


def refused(retry_after: float | None = None) -> Outcome:
    return Outcome(OutcomeKind.REFUSED, True, retry_after)


def now() -> float:
    return asyncio.get_running_loop().time()


async def entered(limiter: Limiter, calls: int) -> list[Permit]:
    return [await limiter.enter((0, number, 1)) for number in range(calls)]


async def times_of_entry(limiter: Limiter, calls: int, *, hold: float = 0.0) -> list[float]:
    """Send calls that are served after a while, and tell when each began."""

    async def call(order: Precedence) -> float:
        ticket = await limiter.enter(order)
        await asyncio.sleep(hold)
        limiter.leave(ticket, SERVED)
        return ticket.entered

    return await asyncio.gather(*(call((0, number, 1)) for number in range(calls)))


@in_virtual_time
async def test_no_more_calls_are_under_way_than_the_cap_allows() -> None:
    assert await times_of_entry(limiter(cap=2), 6, hold=1.0) == [0, 0, 1, 1, 2, 2]


@in_virtual_time
async def test_the_first_requests_of_a_new_batch_go_before_the_later_ones_of_an_old_batch() -> None:
    gate = limiter(cap=1)
    (ticket,) = await entered(gate, 1)
    gone: list[Precedence] = []

    async def call(order: Precedence) -> None:
        mine = await gate.enter(order)
        gone.append(order)
        gate.leave(mine, SERVED)

    orders: list[Precedence] = [(0, 7, 1), (0, 9, 1), (0, 0, 2), (0, 8, 2), (1, 0, 1)]
    calls = [asyncio.create_task(call(order)) for order in orders]
    await asyncio.sleep(1)
    gate.leave(ticket, SERVED)
    await asyncio.gather(*calls)
    assert gone == [(0, 0, 2), (0, 7, 1), (0, 8, 2), (0, 9, 1), (1, 0, 1)]


@in_virtual_time
async def test_a_call_that_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    gate = limiter(cap=1)
    (ticket,) = await entered(gate, 1)
    waiting = [asyncio.create_task(gate.enter((0, number, 1))) for number in range(200)]
    await asyncio.sleep(1)
    for task in waiting[:-1]:
        task.cancel()
    gate.leave(ticket, SERVED)
    assert (await waiting[-1]).entered == 1
    assert (gate.in_flight, gate.waiting) == (1, 0)


@in_virtual_time
async def test_a_call_that_is_cancelled_in_the_moment_of_its_admission_frees_its_place() -> None:
    gate = limiter(cap=1)
    (ticket,) = await entered(gate, 1)
    waiting = asyncio.create_task(gate.enter((0, 0, 1)))
    await asyncio.sleep(1)
    gate.leave(ticket, SERVED)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert gate.in_flight == 0
    assert await entered(gate, 1)


@in_virtual_time
async def test_when_everything_is_refused_nothing_goes_before_the_retry_after_and_then_one_call_first() -> None:
    gate = limiter(cap=8)
    for ticket in await entered(gate, 8):
        gate.leave(ticket, refused(retry_after=20))
    times = await times_of_entry(gate, 8, hold=1.0)
    assert 20 <= times[0] <= 22
    assert times[1] >= times[0] + 1
    assert times[-1] <= times[0] + 4


@in_virtual_time
async def test_a_refusal_while_others_are_served_closes_nothing() -> None:
    gate = limiter(cap=4)
    *served, last = await entered(gate, 4)
    gate.leave(last, refused(retry_after=60))
    for ticket in served:
        gate.leave(ticket, SERVED)
    assert await times_of_entry(gate, 3) == [0, 0, 0]


@in_virtual_time
async def test_a_refused_call_rests_while_others_go_and_comes_early_only_when_later_ones_were_served() -> None:
    gate = limiter(cap=2)
    early, late = await entered(gate, 2)
    await asyncio.sleep(1)
    gate.leave(late, refused(retry_after=60))
    resting = asyncio.create_task(gate.enter((0, 1, 1), rest=60, refused=True))
    await asyncio.sleep(1)
    gate.leave(early, SERVED)  # it began before the refusal, so it proves nothing
    (later,) = await entered(gate, 1)
    await asyncio.sleep(1)
    assert not resting.done()
    gate.leave(later, SERVED)
    assert (await resting).entered == 3


@in_virtual_time
async def test_a_call_that_failed_otherwise_rests_to_the_end_however_idle_the_gate_is() -> None:
    gate = limiter()
    resting = asyncio.create_task(gate.enter((0, 0, 1), rest=5))
    await asyncio.sleep(1)
    for ticket in await entered(gate, 3):
        gate.leave(ticket, SERVED)
    assert (await resting).entered == 5


@in_virtual_time
async def test_one_long_call_that_stays_in_service_does_not_block_a_gate_that_was_cut_down_to_it() -> None:
    gate = limiter(cap=8)
    _long, *others = await entered(gate, 8)
    for ticket in others:
        gate.leave(ticket, refused())
    assert gate.limit == 1
    times = await times_of_entry(gate, 4, hold=0.1)
    assert max(times) < 15


@in_virtual_time
async def test_refusals_without_a_retry_after_close_for_longer_and_longer() -> None:
    gate = limiter()
    times = []
    for _ in range(8):
        ticket = await gate.enter((0, 0, 1))
        times.append(ticket.entered)
        gate.leave(ticket, refused())
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] <= 2
    assert 15 <= pauses[-1] <= 30


@in_virtual_time
async def test_a_retry_after_of_nothing_that_is_never_true_is_no_reason_to_call_without_a_pause() -> None:
    gate = limiter()
    for _ in range(20):
        gate.leave(await gate.enter((0, 0, 1)), refused(retry_after=0))
    assert now() > 20


@in_virtual_time
async def test_requests_per_minute_are_kept_and_spread_evenly() -> None:
    times = await times_of_entry(limiter(cap=100, requests_per_minute=120), 241)
    assert times[-1] >= 119.9
    assert all(later - earlier > 0.4 for earlier, later in pairwise(times[1:]))


@in_virtual_time
async def test_all_models_of_an_account_share_its_requests_per_minute() -> None:
    limits = AccountLimits(account(requests_per_minute=60), random.Random(1))
    limiters = [Limiter(limits, model, 100) for model in ("one", "two")]
    await asyncio.gather(*(times_of_entry(gate, 30) for gate in limiters))
    assert 58 <= now() <= 60


@in_virtual_time
async def test_tokens_per_minute_count_as_estimated_and_then_as_used() -> None:
    gate = limiter(cap=100, tokens_per_minute=6_000)
    for _ in range(3):
        ticket = await gate.enter((0, 0, 1), tokens=1_000)
        gate.used(ticket, 100)
        gate.leave(ticket, SERVED)
    assert 1.8 <= now() <= 2.0


@in_virtual_time
async def test_what_the_provider_says_is_left_is_spread_over_the_time_until_there_is_more() -> None:
    gate = limiter(cap=100)
    under_way = await entered(gate, 20)
    gate.told([Allowance(unit="requests", remaining=5, reset=50)])
    assert await times_of_entry(gate, 4) == [10, 20, 30, 40]
    assert len(under_way) == gate.in_flight


@in_virtual_time
async def test_tokens_that_are_left_are_spread_by_what_calls_have_cost() -> None:
    gate = limiter(cap=100)
    under_way = await entered(gate, 20)
    for ticket in under_way:
        gate.used(ticket, 1_000)
    gate.told([Allowance(unit="tokens", remaining=5_000, reset=50)])
    assert await times_of_entry(gate, 4) == [10, 20, 30, 40]


@in_virtual_time
async def test_enough_for_all_that_wait_needs_no_pace() -> None:
    gate = limiter(cap=100)
    gate.told([Allowance(unit="requests", remaining=50, reset=50), Allowance(unit="tokens", remaining=9e9, reset=1)])
    assert await times_of_entry(gate, 40) == [0] * 40


@in_virtual_time
async def test_nothing_left_means_to_wait_until_there_is() -> None:
    gate = limiter(cap=1)
    (ticket,) = await entered(gate, 1)
    gate.told([Allowance(unit="tokens", remaining=0, reset=30)])
    gate.leave(ticket, SERVED)
    assert await times_of_entry(gate, 1) == [30]


@in_virtual_time
async def test_a_limit_that_is_said_to_be_whole_again_in_years_is_looked_at_again_in_an_hour() -> None:
    gate = limiter(cap=1)
    (ticket,) = await entered(gate, 1)
    gate.told([Allowance(unit="requests", remaining=0, reset=1_795_000_000)])
    gate.leave(ticket, SERVED)
    assert await times_of_entry(gate, 1) == [3600]


@in_virtual_time
async def test_abandoned_calls_teach_nothing() -> None:
    gate = limiter(cap=4)
    for ticket in await entered(gate, 4):
        gate.leave(ticket, ABANDONED)
    assert (gate.limit, gate.in_flight) == (4, 0)


@in_virtual_time
async def test_a_smaller_share_lets_nobody_in_until_enough_have_left() -> None:
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    gate = Limiter(shared, "m", 4)
    tickets = await entered(gate, 4)
    waiting = asyncio.create_task(gate.enter((0, 9, 1)))
    shared.set_share(LimitShare(0.0, 0.5), inf)
    fitted = [gate.within_share]
    for ticket in tickets[:2]:
        gate.leave(ticket, SERVED)
        await asyncio.sleep(0)
        assert not waiting.done()
        fitted.append(gate.within_share)
    assert fitted == [False, False, True]
    gate.leave(tickets[2], SERVED)
    await waiting


@in_virtual_time
async def test_a_larger_share_lets_those_in_who_wait() -> None:
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    shared.set_share(LimitShare(0.0, 0.25), inf)
    gate = Limiter(shared, "m", 4)
    waiting = [asyncio.create_task(gate.enter((0, number, 1))) for number in range(4)]
    await asyncio.sleep(0)
    assert gate.in_flight == 1
    shared.set_share(FULL_SHARE, inf)
    await asyncio.gather(*waiting)


@in_virtual_time
async def test_without_a_share_nobody_is_let_in_not_even_a_probe() -> None:
    shared = AccountLimits(account(concurrency=1), random.Random(1))
    gate = Limiter(shared, "m", 1)
    (ticket,) = await entered(gate, 1)
    gate.leave(ticket, Outcome(OutcomeKind.DOWN))
    shared.set_share(LimitShare(0.0, 0.5), inf)
    assert gate.without_share
    waiting = asyncio.create_task(gate.enter((0, 1, 1)))
    await asyncio.sleep(1000.0)
    assert not waiting.done()
    shared.set_share(FULL_SHARE, inf)
    await waiting


@in_virtual_time
async def test_a_share_that_is_not_renewed_ends_with_its_time() -> None:
    # A worker that reaches nobody may be taken for dead, and its share be somebody else's.
    shared = AccountLimits(account(concurrency=4), random.Random(1))
    gate = Limiter(shared, "m", 4)
    shared.set_share(FULL_SHARE, 10.0)
    await entered(gate, 1)
    await asyncio.sleep(11.0)
    waiting = asyncio.create_task(gate.enter((0, 1, 1)))
    await asyncio.sleep(100.0)
    assert not waiting.done()
    shared.set_share(FULL_SHARE, now() + 10.0)
    await waiting


@in_virtual_time
async def test_the_requests_of_a_minute_are_divided_like_the_calls_at_once() -> None:
    shared = AccountLimits(account(concurrency=64, requests_per_minute=60), random.Random(1))
    shared.set_share(LimitShare(0.0, 0.25), inf)
    times = await times_of_entry(Limiter(shared, "m", 64), 5)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [4, 4, 4, 4]
