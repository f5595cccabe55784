"""The waits of native jobs: for room in the provider's queue, and for the next poll or attempt."""

import asyncio

import pytest

from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_run import LAST_RETRY, retry_delay
from batchgate.engine.native.job_watch import LAST_POLL, poll_delay


@pytest.mark.parametrize("number", [10, 1_000, 10_000])
def test_the_delay_after_any_number_of_failures_or_polls_is_the_longest_one(number: int) -> None:
    assert retry_delay(number) == LAST_RETRY
    assert poll_delay(number) == (LAST_POLL if number > 10 else pytest.approx(288.3, abs=0.1))


async def test_a_refusal_does_not_end_the_wait_of_another_job_and_an_ended_job_does() -> None:
    tokens, forever = EnqueuedTokens(100), asyncio.Event()

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
    tokens = EnqueuedTokens(100)
    tokens.reserve("running", 90)
    assert not await tokens.wait_for_room(asyncio.sleep(0))
