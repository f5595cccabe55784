"""The limiter of a model: which calls start, which wait, and for how long; in virtual time."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from batchgate.engine.dispatch.limits import (
    ABANDONED,
    SERVED,
    AccountLimits,
    CallOutcome,
    Limiter,
    OutcomeKind,
    Permit,
    Precedence,
)
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare
from batchgate.engine.model.provider_call import RemainingLimit
from tests.support.engine_parts import account
from tests.support.virtual_time import in_virtual_time


def make_limiter(cap: int = 4, **fields: Any) -> Limiter:
    return Limiter(AccountLimits(account(**fields), random.Random(1)), "m", cap)


def refused(retry_after: float | None = None) -> CallOutcome:
    return CallOutcome(OutcomeKind.REFUSED, True, retry_after)


def now() -> float:
    return asyncio.get_running_loop().time()


async def acquire(limiter: Limiter, calls: int) -> list[Permit]:
    return [await limiter.acquire((0, number, 1)) for number in range(calls)]


async def start_times(limiter: Limiter, calls: int, *, duration: float = 0.0) -> list[float]:
    """Make calls that are served after ``duration`` seconds, and return when each started."""

    async def call(precedence: Precedence) -> float:
        permit = await limiter.acquire(precedence)
        await asyncio.sleep(duration)
        limiter.release(permit, SERVED)
        return permit.started_at

    return await asyncio.gather(*(call((0, number, 1)) for number in range(calls)))


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
async def test_the_remaining_requests_are_spread_over_the_time_until_the_reset() -> None:
    limiter = make_limiter(cap=100)
    in_flight = await acquire(limiter, 20)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=5, reset=50)])
    assert await start_times(limiter, 4) == [10, 20, 30, 40]
    assert len(in_flight) == limiter.in_flight


@in_virtual_time
async def test_the_remaining_tokens_are_spread_by_the_average_cost_of_a_call() -> None:
    limiter = make_limiter(cap=100)
    in_flight = await acquire(limiter, 20)
    for permit in in_flight:
        limiter.record_tokens(permit, 1_000)
    limiter.update_allowances([RemainingLimit(unit="tokens", remaining=5_000, reset=50)])
    assert await start_times(limiter, 4) == [10, 20, 30, 40]


@in_virtual_time
async def test_an_allowance_for_all_waiting_calls_needs_no_interval() -> None:
    limiter = make_limiter(cap=100)
    limiter.update_allowances(
        [RemainingLimit(unit="requests", remaining=50, reset=50), RemainingLimit(unit="tokens", remaining=9e9, reset=1)]
    )
    assert await start_times(limiter, 40) == [0] * 40


@in_virtual_time
async def test_with_nothing_remaining_the_next_call_waits_for_the_reset() -> None:
    limiter = make_limiter(cap=1)
    (permit,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="tokens", remaining=0, reset=30)])
    limiter.release(permit, SERVED)
    assert await start_times(limiter, 1) == [30]


@in_virtual_time
async def test_a_reset_that_is_years_away_delays_the_next_call_by_a_minute() -> None:
    limiter = make_limiter(cap=1)
    (permit,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=0, reset=1_795_000_000)])
    limiter.release(permit, SERVED)
    assert await start_times(limiter, 1) == [60]


@in_virtual_time
async def test_while_a_reset_is_hours_away_one_call_a_minute_probes_the_provider() -> None:
    limiter = make_limiter(cap=4)
    (permit,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=0, reset=7200)])
    limiter.release(permit, SERVED)
    assert await start_times(limiter, 4) == [60, 120, 180, 240]


def exhausted(reset: float = 3600.0, remaining: float = 0) -> list[RemainingLimit]:
    return [RemainingLimit(unit="requests", remaining=remaining, reset=reset)]


async def answered(limiter: Limiter, calls: int, report: list[RemainingLimit], outcome: CallOutcome) -> list[float]:
    """Make calls that all state the same limits and end alike; return when each started."""

    async def call(number: int) -> float:
        permit = await limiter.acquire((0, number, 1))
        await asyncio.sleep(0.1)
        limiter.update_allowances(report)
        limiter.release(permit, outcome)
        return permit.started_at

    return await asyncio.gather(*(call(number) for number in range(calls)))


@pytest.mark.parametrize("report", [exhausted(), exhausted(1e9), exhausted(300.0), exhausted(remaining=2)], ids=str)
@in_virtual_time
async def test_a_report_that_is_contradicted_by_served_calls_is_ignored_after_a_few_minutes(
    report: list[RemainingLimit],
) -> None:
    times = await answered(make_limiter(cap=1), 300, report, SERVED)
    assert times[2] >= 60
    assert times[-1] <= 600 + 300 * 0.1


@in_virtual_time
async def test_a_report_that_refusals_confirm_is_believed() -> None:
    limiter = make_limiter(cap=4)
    work = asyncio.create_task(answered(limiter, 100, exhausted(), refused(retry_after=1)))
    await asyncio.sleep(3000)
    assert limiter.waiting >= 100 - 4 - 60
    work.cancel()


@in_virtual_time
async def test_an_ignored_report_is_believed_again_when_calls_are_refused() -> None:
    limiter = make_limiter(cap=1)
    await answered(limiter, 50, exhausted(), SERVED)
    assert (await answered(limiter, 10, exhausted(), SERVED))[-1] - now() > -2
    await answered(limiter, 20, exhausted(), refused(retry_after=0))
    began = now()
    assert (await answered(limiter, 3, exhausted(), SERVED))[-1] - began >= 60


@in_virtual_time
async def test_a_window_that_resets_as_it_reports_is_followed_for_hours() -> None:
    times = await answered(make_limiter(cap=1), 60, exhausted(reset=50.0), SERVED)
    assert all(later - earlier >= 50 for earlier, later in pairwise(times[1:]))


@in_virtual_time
async def test_while_calls_are_a_minute_apart_the_model_is_reported_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    limiter = make_limiter(cap=1)
    work = asyncio.create_task(answered(limiter, 60, exhausted(), SERVED))
    await asyncio.sleep(70)
    pause = limiter.paused
    assert pause is not None
    assert (pause.code, pause.component) == ("rate_limited", "account/a/m")
    assert pause.reason == (
        "model 'm' of account 'a' is slowed down: the provider reports 0 requests left for the next 60 min"
    )
    await work
    assert limiter.paused is None
    actions = [record.__dict__["action"] for record in caplog.records]
    assert actions == ["rate_limit_began", "rate_limit_ended"]


@in_virtual_time
async def test_a_retry_after_of_an_hour_is_reported_and_tried_every_five_minutes() -> None:
    limiter = make_limiter(cap=4)

    async def refused_until(end: float) -> list[float]:
        times = []
        while now() < end:
            permit = await limiter.acquire((0, 0, 1), delay=min(300.0, 300.0 * len(times)), refused=True)
            times.append(now())
            limiter.release(permit, refused(retry_after=3600))
        return times

    work = asyncio.create_task(refused_until(3600))
    await asyncio.sleep(1000)
    pause = limiter.paused
    assert pause is not None
    assert (pause.code, pause.reason) == (
        "rate_limited",
        "model 'm' of account 'a' is slowed down: the provider asked to wait 60 min; one call every 5 min tries it",
    )
    times = await work
    assert all(300 <= later - earlier <= 330 for earlier, later in pairwise(times))


@in_virtual_time
async def test_a_later_response_with_more_remaining_ends_the_wait() -> None:
    limiter = make_limiter(cap=4)
    (permit,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=0, reset=7200)])
    limiter.release(permit, SERVED)
    (probe,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=100, reset=7200)])
    limiter.release(probe, SERVED)
    assert await start_times(limiter, 3) == [60, 60, 60]


@in_virtual_time
async def test_an_old_header_counts_for_an_hour_at_most() -> None:
    limiter = make_limiter(cap=4)
    (permit,) = await acquire(limiter, 1)
    limiter.update_allowances([RemainingLimit(unit="requests", remaining=0, reset=1_795_000_000)])
    limiter.release(permit, SERVED)
    starts = await start_times(limiter, 64)
    assert starts[:60] == [60.0 * minute for minute in range(1, 61)]
    assert starts[60:] == [3600.0] * 4


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
