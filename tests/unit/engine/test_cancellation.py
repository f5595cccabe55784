"""Work that a cancellation of its caller must not cut in two."""

import asyncio

import pytest

from batchgate.engine.support.cancellation import cancel_all, shielded


async def test_its_result_and_its_error_are_the_callers() -> None:
    assert await shielded(asyncio.sleep(0, "result")) == "result"

    async def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await shielded(fail())


async def test_a_cancellation_takes_effect_after_the_end() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        ended.set()

    task = asyncio.create_task(shielded(work()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_no_number_of_cancellations_cuts_it_short_and_its_error_gives_way_to_them() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        begun.set()
        await go.wait()
        raise KeyError

    task = asyncio.create_task(shielded(fail()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_loses_a_cancellation_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before Python 3.12, asyncio.wait_for loses one that comes in the same moment as what it waits for. A listener that
    # heard of a job at that moment listened on, and its worker never stopped.
    monkeypatch.setattr("batchgate.engine.support.cancellation.CANCEL_INTERVAL", 0.01)
    lost: list[asyncio.CancelledError] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as error:
                lost.append(error)
                if len(lost) > 2:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await cancel_all([task])
    assert task.cancelled()
