"""Slots for attempts are bounded, and shared by the workspaces, in virtual time."""

from __future__ import annotations

import asyncio

from batchgate.engine.webhooks.attempt_slots import AttemptSlots
from tests.support.virtual_time import in_virtual_time

ROUND = 15.0  # seconds that a receiver takes which does not answer


@in_virtual_time
async def test_a_workspace_that_waits_gets_the_next_free_slot_before_one_that_holds_many() -> None:
    started: list[tuple[str, float]] = []
    slots, loop = AttemptSlots(4), asyncio.get_running_loop()

    async def attempt(workspace: str, seconds: float) -> None:
        async with slots.slot(workspace):
            started.append((workspace, loop.time()))
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(attempt("slow", ROUND)) for _ in range(40)]
    await asyncio.sleep(1)
    tasks += [asyncio.create_task(attempt(name, 1.0)) for name in ("b", "c")]
    await asyncio.gather(*tasks)
    assert [name for name, _ in started[:6]] == ["slow"] * 4 + ["b", "c"]
    assert [at for _, at in started[:6]] == [0.0] * 4 + [ROUND] * 2
    assert started[6] == ("slow", ROUND)
    assert len(started) == 42


@in_virtual_time
async def test_a_waiter_that_is_cancelled_leaves_its_slot_to_the_next_one() -> None:
    slots, got = AttemptSlots(1), list[str]()

    async def attempt(name: str) -> None:
        async with slots.slot("w"):
            got.append(name)

    async with slots.slot("w"):
        waiting, given, last = (asyncio.create_task(attempt(name)) for name in ("waiting", "given", "last"))
        await asyncio.sleep(1)
        waiting.cancel()
    given.cancel()  # it was given the slot, and has not run since
    await asyncio.wait([waiting, given, last])
    assert (waiting.cancelled(), given.cancelled(), got) == (True, True, ["last"])
    await attempt("next")
