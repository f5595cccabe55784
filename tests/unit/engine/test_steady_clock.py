"""The clock of a process: jumps that do not last are ignored, and the database's clock counts where they differ."""

import pytest

from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.support.steady_clock import MAX_DEVIATION, SETTLING_TIME, SteadyClock
from tests.support.running_app import MovableClock

SETTLING_SECONDS = SETTLING_TIME / MICROSECONDS
JUMPS = [3601.0, 25 * 3600.0, 31 * 86400.0, -3601.0, -2 * 86400.0]


@pytest.fixture
def source() -> MovableClock:
    return MovableClock()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_that_does_not_last_changes_nothing(source: MovableClock, jump: float) -> None:
    clock, begun = SteadyClock(source), source.time
    source.jump(jump)
    assert (clock.now(), clock.has_passed(begun - 1)) == (begun, False)
    assert "the clock has jumped" in str(clock.problem)
    source.move(3)
    assert clock.now() == begun + 3 * MICROSECONDS
    source.jump(-jump)
    assert (clock.now(), clock.problem) == (begun + 3 * MICROSECONDS, None)
    assert clock.has_passed(begun + 3 * MICROSECONDS)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_that_lasts_is_believed_after_the_settling_time(source: MovableClock, jump: float) -> None:
    clock, begun = SteadyClock(source), source.time
    source.jump(jump)
    assert "jumped" in str(clock.problem)
    source.move(SETTLING_SECONDS - 1)
    assert (clock.now(), clock.has_passed(0)) == (begun + SETTLING_TIME - MICROSECONDS, False)
    source.move(1)
    assert (clock.now(), clock.problem) == (source.time, None)


def test_a_second_jump_begins_the_settling_time_again(source: MovableClock) -> None:
    clock = SteadyClock(source)
    for _ in range(3):
        source.jump(25 * 3600)
        assert clock.problem
        source.move(SETTLING_SECONDS - 1)
        assert clock.problem
    source.move(1)
    assert (clock.now(), clock.problem) == (source.time, None)


@pytest.mark.parametrize("jump", [1.0, 3600.0, -3600.0])
def test_a_small_change_is_followed_at_once(source: MovableClock, jump: float) -> None:
    clock = SteadyClock(source)
    source.jump(jump)
    assert (clock.now(), clock.problem, clock.has_passed(source.time)) == (source.time, None, True)


def test_time_that_passes_without_a_look_at_the_clock_is_no_jump(source: MovableClock) -> None:
    clock = SteadyClock(source)
    source.move(90 * 86400)
    assert (clock.now(), clock.problem) == (source.time, None)


@pytest.mark.parametrize("ahead", [MAX_DEVIATION + 1, -MAX_DEVIATION - 1, 48 * HOUR, -48 * HOUR])
async def test_a_clock_that_differs_from_the_database_shows_its_time_and_nothing_passes(
    source: MovableClock, ahead: int
) -> None:
    source.database_ahead = ahead
    clock = SteadyClock(source)
    await clock.compare(source.database_time)
    assert (clock.now(), clock.has_passed(0)) == (source.time + ahead, False)
    assert f"{'behind' if ahead > 0 else 'ahead of'} the database's clock" in str(clock.problem)
    source.database_ahead = 0
    await clock.compare(source.database_time)
    assert (clock.now(), clock.problem, clock.has_passed(source.time)) == (source.time, None, True)


@pytest.mark.parametrize("ahead", [0, MAX_DEVIATION, -MAX_DEVIATION])
async def test_a_small_difference_from_the_database_is_no_problem(source: MovableClock, ahead: int) -> None:
    source.database_ahead = ahead
    clock = SteadyClock(source)
    await clock.compare(source.database_time)
    assert (clock.now(), clock.problem) == (source.time, None)


@pytest.mark.parametrize("jump", [48 * HOUR, -48 * HOUR])
async def test_a_jump_of_the_databases_clock_is_not_followed(source: MovableClock, jump: int) -> None:
    clock = SteadyClock(source)
    await clock.compare(source.database_time)
    source.database_ahead = jump
    await clock.compare(source.database_time)
    assert (clock.now(), clock.has_passed(0)) == (source.time, False)


async def test_a_jump_of_both_clocks_together_has_to_last_too(source: MovableClock) -> None:
    clock, begun = SteadyClock(source), source.time
    await clock.compare(source.database_time)
    source.jump(31 * 86400)  # the database's clock in this test follows
    await clock.compare(source.database_time)
    assert (clock.now(), clock.has_passed(0)) == (begun, False)
    assert "the clock has jumped" in str(clock.problem)
