"""Work that comes all at once goes a few at a time."""

from __future__ import annotations

import asyncio

from batchgate.engine.support.fair_yield import FairYield


async def rounds(turns: FairYield, tasks: int) -> list[list[int]]:
    """Tell which of so many tasks went in which round of the event loop."""
    went: list[list[int]] = [[]]

    async def task(number: int) -> None:
        await turns.wait_turn()
        went[-1].append(number)

    waiting = [asyncio.create_task(task(number)) for number in range(tasks)]
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0)
        went.append([])
    return [group for group in went if group]


async def test_a_few_go_in_each_round_in_the_order_in_which_they_came() -> None:
    turns = FairYield(tasks_per_round=4)
    for _ in range(2):
        groups = await rounds(turns, 10)
        assert [number for group in groups for number in group] == list(range(10))
        assert max(map(len, groups)) == 4


async def test_who_is_alone_does_not_wait() -> None:
    turns = FairYield(tasks_per_round=1)
    task = asyncio.create_task(turns.wait_turn())
    await asyncio.sleep(0)
    assert task.done()


async def test_who_gives_up_takes_nobody_s_turn() -> None:
    turns = FairYield(tasks_per_round=1)
    first, second, third = (asyncio.create_task(turns.wait_turn()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    assert second.cancelled()
