"""Calls of a batch with a budget wait until the answers before them are stored; many cost little more than few."""

import asyncio
from typing import Any, cast

from msgspec import structs

from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.dispatch.budget_gate import BudgetGate, BudgetGates, PaidAnswers
from batchgate.engine.model.batch import Batch, BatchPause
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.shard import Shard
from batchgate.engine.ports.batch_store import BatchStore
from tests.support.sample_batch import sample_batch

CALLS = 2000
TIMEOUT = 10.0
"""Seconds: much more than the calls need, unless each answer wakes all of them."""
PAUSE = BatchPause(code="requested", reason=None, since=1, by="")


class StoredBatch:
    """A store of one batch that counts how often it is read."""

    def __init__(self) -> None:
        self.batch = sample_batch()
        self.reads = 0

    async def find_batch_by_key(self, _: int) -> Batch:
        """Return the batch after a moment."""
        self.reads += 1
        await asyncio.sleep(0.001)
        return self.batch


class NoReachedBudget:
    """The check of monthly budgets that are not reached."""

    async def may_send(self, _: Batch, __: str) -> bool:
        """Return that no budget stops a call."""
        return True


def gate_of(store: StoredBatch, answers: PaidAnswers) -> BudgetGate:
    return BudgetGate(cast("BatchStore", store), 1, answers, cast("BudgetCheck", NoReachedBudget()))


def test_a_budget_of_an_account_concerns_only_a_process_that_has_the_account() -> None:
    def gates(accounts: set[str]) -> BudgetGates:
        store: Any = None  # a gate asks none before its first call
        return BudgetGates(store, BudgetCheck(store, store, store, accounts=accounts, paused=lambda: None))

    shard = Shard(index=0, first_seq=0, requests=1, offset=0, length=1, checksum=0)
    claim = Claim(
        batch=sample_batch(), shard=shard, epoch=1, finished=frozenset(), budgeted_accounts=frozenset({"removed"})
    )
    assert gates({"a"}).of(claim) is None
    assert gates({"a", "removed"}).of(claim) is not None
    assert gates({"a"}).of(structs.replace(claim, has_monthly_budget=True)) is not None


async def test_a_call_waits_for_all_answers_before_it_in_whatever_order_they_are_stored() -> None:
    answers = PaidAnswers()
    gate = gate_of(StoredBatch(), answers)
    numbers = [answers.add() for _ in range(3)]
    call = asyncio.create_task(gate.wait("a"))
    await asyncio.sleep(0)
    later = answers.add()
    for number in (numbers[2], numbers[0]):
        answers.settle([number])
        done, _ = await asyncio.wait([call], timeout=0.02)
        assert not done
    answers.settle([numbers[1]])
    await asyncio.wait_for(call, TIMEOUT)
    assert answers.settled == later - 1


async def test_thousands_of_calls_wait_and_each_answer_wakes_only_the_calls_that_it_lets_go() -> None:
    store, answers = StoredBatch(), PaidAnswers()
    gate = gate_of(store, answers)
    calls = []
    for _ in range(CALLS):
        answers.add()
        calls.append(asyncio.create_task(gate.wait("a")))
        await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT):
        for number in range(1, CALLS + 1):
            answers.settle([number])
            await asyncio.sleep(0)
        await asyncio.gather(*calls)


async def test_calls_that_wait_for_a_paused_batch_share_the_looks_at_the_store_and_survive_a_canceled_one() -> None:
    store, answers = StoredBatch(), PaidAnswers()
    store.batch = structs.replace(store.batch, pause=PAUSE)
    gate = gate_of(store, answers)
    calls = [asyncio.create_task(gate.wait("a")) for _ in range(CALLS)]
    await asyncio.sleep(0)
    calls.pop(0).cancel()  # the one that reads the store for all
    await asyncio.sleep(0.1)
    assert not any(call.done() for call in calls)
    assert 1 <= store.reads <= 3
    store.batch = structs.replace(store.batch, pause=None)
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*calls)
    assert store.reads <= 6
