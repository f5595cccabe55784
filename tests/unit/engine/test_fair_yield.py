"""Work that becomes ready all at once is done a few items per round of the event loop."""

from __future__ import annotations

import asyncio

from batchgate.engine.support.fair_yield import FairYield


async def rounds(fair_yield: FairYield, tasks: int) -> list[list[int]]:
    """Return which tasks continued in which round of the event loop."""
    per_round: list[list[int]] = [[]]

    async def task(number: int) -> None:
        await fair_yield.wait_turn()
        per_round[-1].append(number)

    waiting = [asyncio.create_task(task(number)) for number in range(tasks)]
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0)
        per_round.append([])
    return [group for group in per_round if group]


async def test_a_few_tasks_continue_in_each_round_in_the_order_in_which_they_came() -> None:
    fair_yield = FairYield(tasks_per_round=4)
    for _ in range(2):
        groups = await rounds(fair_yield, 10)
        assert [number for group in groups for number in group] == list(range(10))
        assert max(map(len, groups)) == 4


async def test_a_single_task_does_not_wait() -> None:
    fair_yield = FairYield(tasks_per_round=1)
    task = asyncio.create_task(fair_yield.wait_turn())
    await asyncio.sleep(0)
    assert task.done()


async def test_a_cancelled_task_does_not_use_up_a_turn() -> None:
    fair_yield = FairYield(tasks_per_round=1)
    first, second, third = (asyncio.create_task(fair_yield.wait_turn()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    assert second.cancelled()
