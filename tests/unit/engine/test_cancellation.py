"""Shielded work, and tasks that are cancelled until they end."""

import asyncio

import pytest

from batchgate.engine.support.cancellation import cancel_all, shielded


async def test_shielded_returns_the_result_and_raises_the_error() -> None:
    assert await shielded(asyncio.sleep(0, "result")) == "result"

    async def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await shielded(fail())


async def test_a_cancellation_takes_effect_after_the_end_of_shielded_work() -> None:
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


async def test_repeated_cancellations_do_not_interrupt_shielded_work_and_replace_its_error() -> None:
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


async def test_a_task_that_swallows_cancellations_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before Python 3.12, asyncio.wait_for loses a cancellation that comes in the same moment as the awaited result. A
    # listener that received a job at that moment continued to listen, and its worker never stopped.
    monkeypatch.setattr("batchgate.engine.support.cancellation.CANCEL_INTERVAL", 0.01)
    lost: list[asyncio.CancelledError] = []

    async def swallow_two() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as error:
                lost.append(error)
                if len(lost) > 2:
                    raise

    task = asyncio.create_task(swallow_two())
    await asyncio.sleep(0)
    await cancel_all([task])
    assert task.cancelled()
