"""How the batches of a workspace share the permits of a limiter by their priorities; in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from batchgate.engine.dispatch.limits import SERVED, Limiter
from batchgate.engine.model.priority import Contender, Contenders, Priority
from tests.support.limiters import acquire, make_limiter
from tests.support.virtual_time import in_virtual_time

OTHER = 9
"""The key of a batch of another workspace."""


def contenders(**priorities: Priority) -> Contenders:
    """Make the contenders of one workspace: ``b1`` is the batch with the key 1."""
    return {int(name[1:]): Contender(workspace="w", priority=priority) for name, priority in priorities.items()}


class Calls:
    """Calls of several batches that wait for a limiter with one permit, and the order in which they start."""

    def __init__(self, seqs: Mapping[int, range]) -> None:
        self.limiter: Limiter = make_limiter(cap=1)
        self.started: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._seqs = seqs

    async def wait(self) -> None:
        """Take the permit, and let all calls wait, in any order."""
        (self._permit,) = await acquire(self.limiter, 1)
        calls = [(seq, key) for key, seqs in self._seqs.items() for seq in seqs]
        random.Random(1).shuffle(calls)
        self.tasks = [asyncio.create_task(self._call(seq, key)) for seq, key in calls]
        await asyncio.sleep(1)

    async def run(self) -> list[int]:
        """Return the permit, and the keys of the batches in the order of their calls."""
        self.limiter.release(self._permit, SERVED)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.started

    async def _call(self, seq: int, key: int) -> None:
        permit = await self.limiter.acquire((0, seq, key))
        self.started.append(key)
        self.limiter.release(permit, SERVED)


async def order(seqs: Mapping[int, range], sharing: Contenders) -> list[int]:
    """Let calls wait for a limiter, then let batches share it; return the batches in the order of their calls."""
    calls = Calls(seqs)
    await calls.wait()
    calls.limiter.set_contenders(sharing)
    return await calls.run()


@pytest.mark.parametrize(
    ("higher", "lower", "share"), [("high", "normal", 0.9), ("normal", "low", 0.9), ("high", "low", 81 / 82)]
)
def test_a_batch_gets_the_share_of_its_priority_although_the_other_one_is_behind(
    higher: Priority, lower: Priority, share: float
) -> None:
    @in_virtual_time
    async def started() -> list[int]:
        return await order({1: range(1000), 2: range(5000, 6000)}, contenders(b1=lower, b2=higher))

    first = started()[:820]
    assert first.count(2) == pytest.approx(820 * share, abs=2)
    assert first.count(1) > 0


@in_virtual_time
async def test_the_lowest_of_three_is_served_too() -> None:
    started = await order(dict.fromkeys((1, 2, 3), range(1000)), contenders(b1="low", b2="normal", b3="high"))
    assert Counter(started[:910]) == {1: 10, 2: 90, 3: 810}


@in_virtual_time
async def test_batches_of_equal_priority_have_equal_shares_beside_a_lower_one() -> None:
    started = await order(dict.fromkeys((1, 2, 3), range(1000)), contenders(b1="low", b2="normal", b3="normal"))
    assert Counter(started[:190]) == {1: 10, 2: 90, 3: 90}


@in_virtual_time
async def test_another_workspace_gets_what_it_gets_without_priorities() -> None:
    seqs = {1: range(1000), 2: range(1000), OTHER: range(1000)}
    without = await order(seqs, {})
    raised = await order(seqs, contenders(b1="low", b2="high"))
    assert raised[:600].count(OTHER) == pytest.approx(without[:600].count(OTHER), abs=2)
    assert raised[:600].count(2) > 8 * raised[:600].count(1)


@in_virtual_time
async def test_a_workspace_that_has_had_more_waits_for_another_although_one_of_its_batches_is_behind() -> None:
    # It has had as much as with two batches that are both at 700.
    seqs = {1: range(400), 2: range(1400, 1800), OTHER: range(500, 900)}
    started = await order(seqs, contenders(b1="normal", b2="high"))
    assert started[:200].count(OTHER) == 200
    started = await order(seqs | {OTHER: range(900, 1300)}, contenders(b1="normal", b2="high"))
    assert OTHER not in started[:200]


@in_virtual_time
async def test_all_calls_start_once_one_batch_has_no_more() -> None:
    started = await order({1: range(50), 2: range(50), OTHER: range(50)}, contenders(b1="low", b2="high"))
    assert Counter(started) == {1: 50, 2: 50, OTHER: 50}


@in_virtual_time
async def test_a_batch_that_had_no_calls_has_saved_up_nothing() -> None:
    calls = Calls({2: range(500)})
    calls.limiter.set_contenders(contenders(b1="normal", b2="high"))
    await calls.wait()
    await calls.run()
    late = Calls({1: range(200), 2: range(500, 700)})
    late.limiter, late.started = calls.limiter, []
    await late.wait()
    assert (await late.run())[:100].count(1) == pytest.approx(10, abs=1)


@in_virtual_time
async def test_cancelled_calls_take_no_turn() -> None:
    calls = Calls({1: range(200), 2: range(200)})
    calls.limiter.set_contenders(contenders(b1="low", b2="high"))
    await calls.wait()
    for task in calls.tasks[::2]:
        task.cancel()
    await asyncio.sleep(1)
    assert calls.limiter.waiting == 200
    assert len(await calls.run()) == 200
    assert (calls.limiter.in_flight, calls.limiter.waiting) == (0, 0)


@in_virtual_time
async def test_a_low_batch_near_its_expiry_goes_before_a_high_one() -> None:
    calls = Calls({1: range(50), 2: range(50)})
    calls.limiter.set_contenders(contenders(b1="low", b2="high"))
    await calls.wait()
    calls.limiter.expedite(frozenset({1}))
    assert (await calls.run())[:50] == [1] * 50


@in_virtual_time
async def test_without_contenders_the_usual_order_is_back() -> None:
    calls = Calls({1: range(50), 2: range(50)})
    await calls.wait()
    calls.limiter.set_contenders(contenders(b1="low", b2="high"))
    calls.limiter.set_contenders({})
    assert await calls.run() == [1, 2] * 50


def beside_all(priority: Priority, batch_key: int = OTHER) -> Contenders:
    """Make the contenders of a gateway on which one batch competes with those of all workspaces."""
    return {batch_key: Contender(workspace="v", priority=priority, scope="gateway")}


@pytest.mark.parametrize(("priority", "share"), [("high", 0.9), ("low", 0.1)])
def test_a_batch_beside_all_workspaces_shares_with_all_others_together(priority: Priority, share: float) -> None:
    @in_virtual_time
    async def started() -> list[int]:
        seqs = {1: range(1000), 2: range(1000), OTHER: range(5000, 6000)}
        return await order(seqs, {**contenders(b1="low", b2="high"), **beside_all(priority)})

    first = started()[:1000]
    assert first.count(OTHER) == pytest.approx(1000 * share, abs=2)
    assert first.count(2) == pytest.approx(9.0 * 9 * first.count(1), rel=0.5), (
        "as their priorities in their workspace say"
    )


@in_virtual_time
async def test_the_order_of_other_batches_is_what_it_is_without_one_beside_all_workspaces() -> None:
    seqs = {1: range(100), 2: range(50, 150), OTHER: range(300)}
    without = [key for key in await order(seqs, {}) if key != OTHER]
    beside = await order(seqs, beside_all("high"))
    assert [key for key in beside if key != OTHER] == without
    assert Counter(beside) == {1: 100, 2: 100, OTHER: 300}


@in_virtual_time
async def test_an_urgent_batch_goes_before_one_that_is_high_beside_all_workspaces() -> None:
    calls = Calls({1: range(100), OTHER: range(100)})
    await calls.wait()
    calls.limiter.set_contenders(beside_all("high"))
    calls.limiter.expedite(frozenset({1}))
    assert (await calls.run())[:100] == [1] * 100
