"""The waits of native jobs: for room in the provider's queue, and for the next poll or attempt."""

import asyncio

import pytest

from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_run import LAST_RETRY, retry_delay
from batchgate.engine.native.job_watch import LAST_POLL, poll_delay
from tests.support.running_app import MovableClock


@pytest.mark.parametrize("number", [10, 1_000, 10_000])
def test_the_delay_after_any_number_of_failures_or_polls_is_the_longest_one(number: int) -> None:
    assert retry_delay(number) == LAST_RETRY
    assert poll_delay(number) == (LAST_POLL if number > 10 else pytest.approx(288.3, abs=0.1))


async def test_a_refusal_does_not_end_the_wait_of_another_job_and_an_ended_job_does() -> None:
    tokens, forever = EnqueuedTokens(100, clock=MovableClock()), asyncio.Event()

    async def at_most() -> None:
        await forever.wait()

    tokens.reserve("refused", 60)
    tokens.reserve("running", 20)
    waiting = asyncio.create_task(tokens.wait_for_room(at_most()))
    await asyncio.sleep(0)
    tokens.refused("refused", None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    tokens.release("running")
    assert await waiting


async def test_a_wait_for_room_that_ends_by_time_says_that_no_job_has_ended() -> None:
    tokens = EnqueuedTokens(100, clock=MovableClock())
    tokens.reserve("running", 90)
    assert not await tokens.wait_for_room(asyncio.sleep(0))


@pytest.mark.parametrize(("configured", "room"), [(None, [45, 56, 90, 90, 90]), (200, [45, 56, 90, 135, 180])])
def test_a_limit_that_was_halved_grows_to_what_was_refused_or_to_the_configured_limit(
    configured: int | None, room: list[int]
) -> None:
    """The room in the hours 0, 1, 4, 8 and 24 after a refusal of 100 tokens; a tenth of the limit is not used."""
    clock = MovableClock()
    tokens = EnqueuedTokens(configured, clock=clock)
    tokens.reserve("other", 5)
    tokens.reserve("refused", 95)
    tokens.refused("refused", None)
    for hours, expected in zip([0, 1, 3, 4, 16], room, strict=True):
        clock.move(hours * 3600)
        assert [tokens.has_room(expected - 5), tokens.has_room(expected - 4)] == [True, False]


def test_a_limit_that_the_provider_names_does_not_grow() -> None:
    clock = MovableClock()
    tokens = EnqueuedTokens(1000, clock=clock)
    tokens.reserve("other", 5)
    tokens.refused("refused", 100)
    clock.move(24 * 3600)
    assert [tokens.has_room(85), tokens.has_room(86)] == [True, False]
