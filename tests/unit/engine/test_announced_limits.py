"""The rate limits and waits that a provider announces: which calls wait, what is shown, and what is ignored."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from batchgate.engine.dispatch.limits import SERVED, CallOutcome, Limiter
from batchgate.engine.model.provider_call import RemainingLimit
from tests.support.limiters import acquire, make_limiter, now, refused, start_times
from tests.support.virtual_time import in_virtual_time


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
        times: list[float] = []
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
