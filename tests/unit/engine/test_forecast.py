"""Forecasts follow the pace of a batch, and say what they do not know."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec import structs

from batchgate.engine.model.batch import Batch, BatchPause
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.forecast import Forecast, forecast
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.pace import CallPeriod, Pace, pace_after
from batchgate.engine.model.price import Spend
from batchgate.engine.model.usage import Counts
from tests.support import engine_parts

HOUR = 3600 * MICROSECONDS


def moment(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def pace_of(ends: list[float], now: float) -> Pace | None:
    """Return the pace after calls that began at 0 have ended at these times, as far as they have until now."""
    pace: Pace | None = None
    for end in ends:
        if end <= now:
            pace = pace_after(pace, 1, CallPeriod(since=0, until=moment(end)))
    return pace


def batch_of(total: int, done: int, pace: Pace | None, **fields: Any) -> Batch:
    counts = Counts(total=total, succeeded=done)
    given = {"counts": counts, "pace": pace, "expires_at": 24 * HOUR} | fields
    return structs.replace(engine_parts.batch(), **given)


def predicted(ends: list[float], now: float, **fields: Any) -> Forecast:
    done = sum(end <= now for end in ends)
    found = forecast(batch_of(len(ends), done, pace_of(ends, now), **fields), (), {}, moment(now))
    assert found is not None
    return found


def ends_after(found: Forecast) -> float:
    assert found.ends_at is not None
    return found.ends_at / MICROSECONDS


def job(**fields: Any) -> NativeJob:
    given: dict[str, Any] = {
        "requests": 100,
        "tokens": 1,
        "state": "running",
        "submitted_at": 0,
        "created_at": 0,
    } | fields
    return NativeJob(batch_key=1, token="t", account="a", model="m", kind="messages", seqs=b"", **given)


@pytest.mark.parametrize("per_second", [0.02, 0.5, 3.0, 50.0])
@pytest.mark.parametrize("waves", [1, 4])
def test_at_a_fifth_of_a_steady_batch_the_end_is_predicted_within_15_percent(per_second: float, waves: int) -> None:
    ends = [(number // waves + 1) * waves / per_second for number in range(1000)]
    found = predicted(ends, ends[200])
    assert ends_after(found) == pytest.approx(ends[-1], rel=0.15)
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest < ends[-1] * MICROSECONDS < found.latest


@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_calls_that_began_together_and_end_together_are_no_change_of_the_rate(spread: float) -> None:
    ends = sorted(30 * (number // 100 + 1) + spread * (number % 100) / 100 for number in range(2000))
    for now in (120 + spread, 135, 149.9, 165):
        assert ends_after(predicted(ends, now)) == pytest.approx(ends[-1], rel=0.15)
    found = predicted(ends, 150 + spread / 2)
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest < moment(ends[-1]) < found.latest


def test_calls_of_random_length_are_predicted_within_15_percent() -> None:
    generator = random.Random(1)
    for per_second in (2.0, 10.0):
        ends = sorted(generator.uniform(0, 2000 / per_second) for _ in range(2000))
        assert ends_after(predicted(ends, ends[400])) == pytest.approx(ends[-1], rel=0.15)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_minute_after_the_rate_has_changed_the_end_is_predicted_within_15_percent(factor: float) -> None:
    ends = [number / 10 for number in range(1, 3001)]
    ends += [300 + number / (10 * factor) for number in range(1, 3001)]
    left = ends[-1] - 360
    assert ends_after(predicted(ends, 301)) - 301 != pytest.approx(ends[-1] - 301, rel=0.15)
    assert ends_after(predicted(ends, 360)) - 360 == pytest.approx(left, rel=0.15)


def test_the_rate_falls_when_nothing_is_answered_any_more_and_at_last_no_end_is_predicted() -> None:
    ends = [number / 10 for number in range(1, 601)] + [1e9] * 400
    rates = [predicted(ends, now).requests_per_second for now in (60, 90, 120, 3600)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-3
    assert predicted(ends, 3600).ends_at is None


def test_requests_that_will_be_missing_at_the_expiry_are_counted() -> None:
    ends = [number / 10 for number in range(1, 1001)]
    assert predicted(ends, 50, expires_at=moment(101)).missed == 0
    assert predicted(ends, 50, expires_at=moment(80)).missed == pytest.approx(200, rel=0.05)
    assert predicted(ends, 50, expires_at=moment(40)).missed == 500


def test_nothing_is_predicted_in_the_first_second_and_while_nothing_is_sent() -> None:
    pace = pace_of([1.0, 2.0], 2)
    pause = BatchPause(code="requested", reason=None, since=0, by="")
    assert forecast(batch_of(9, 2, pace), (), {}, moment(2)) is not None
    assert forecast(batch_of(9, 2, pace), (), {}, moment(0.9)) is None
    assert forecast(batch_of(9, 0, None), (), {}, moment(2)) is None
    assert forecast(batch_of(9, 2, pace, pause=pause), (), {}, moment(2)) is None
    assert forecast(batch_of(9, 2, pace, status="canceling"), (), {}, moment(2)) is None


def test_jobs_may_end_at_any_time_until_their_window_or_the_batch_is_over() -> None:
    now = moment(60)
    found = forecast(batch_of(100, 0, None), [job()], {"a": 3600}, now)
    assert found is not None
    assert (found.basis, found.requests_per_second, found.missed) == ("jobs", 0, 0)
    assert (found.earliest, found.ends_at, found.latest) == (now, HOUR, HOUR)
    early = forecast(batch_of(100, 0, None, expires_at=HOUR // 2), [job()], {"a": 3600}, now)
    assert early is not None
    assert early.ends_at == HOUR // 2
    unknown = forecast(batch_of(100, 0, None), [job()], {}, now)
    assert unknown is not None
    assert unknown.ends_at == 24 * HOUR


def test_a_batch_with_calls_and_jobs_ends_with_the_later_of_both() -> None:
    ends = [float(number) for number in range(1, 101)]
    batch = batch_of(200, 50, pace_of(ends, 50))
    both = forecast(batch, [job(), job(state="failed")], {"a": 3600}, moment(50))
    assert both is not None
    assert (both.basis, both.ends_at) == ("calls_and_jobs", HOUR)
    assert both.earliest is not None
    assert moment(50) < both.earliest < moment(100)
    first = forecast(batch_of(200, 0, None), [job()], {"a": 3600}, moment(50))
    assert first is not None
    assert (first.basis, first.ends_at, first.missed) == ("calls_and_jobs", None, None)


def test_the_cost_of_the_whole_batch_follows_from_the_average_so_far() -> None:
    pace = pace_of([1.0, 2.0], 2)
    found = forecast(batch_of(10, 4, pace, spend=Spend(direct=300, unpriced=1)), (), {}, moment(2))
    assert found is not None
    assert found.cost == 300 + 6 * 100
    with_reused = batch_of(10, 6, pace, reused=2, spend=Spend(direct=300, unpriced=1))
    found = forecast(with_reused, (), {}, moment(2))
    assert found is not None
    assert found.cost == 300 + 4 * 100
    unknown = forecast(batch_of(10, 4, pace), (), {}, moment(2))
    assert unknown is not None
    assert unknown.cost is None
