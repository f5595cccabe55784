"""Holds back the calls of a batch with a budget until the answers before them are stored and have not paused it.

A permit that an answer has freed is used for another call only then. So once the stored cost has reached the budget,
each permit is used for one call at most, and what is spent beyond the budget is bounded by the calls that may be in
flight. Of monthly budgets, several batches spend: their calls wait for the answers of all of them in this process, and
the budgets are also looked at before the first call of a batch, and twice a second.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StoreError
from batchgate.engine.ports.batch_store import BatchStore

RECHECK: Final = 0.5
"""Seconds until the store is asked again whether the batch may send."""


class PaidAnswers:
    """The answers that have cost something: numbers from 1, of which some are not stored yet."""

    def __init__(self) -> None:
        self.count = 0
        self.settled = 0
        """The number of the first answers that are all settled."""
        self._settled_early: set[int] = set()
        """Settled answers after one that is not."""
        self._waiting: dict[int, asyncio.Event] = {}
        """What calls wait for until so many first answers are settled."""

    def add(self) -> int:
        """Note an answer, and return its number for `settle`."""
        self.count += 1
        return self.count

    def settle(self, numbers: list[int]) -> None:
        """Note that answers are stored, or will not be; clears the list."""
        self._settled_early.update(numbers)
        numbers.clear()
        while self.settled + 1 in self._settled_early:
            self.settled += 1
            self._settled_early.remove(self.settled)
            if event := self._waiting.pop(self.settled, None):
                event.set()

    async def wait_for(self, number: int) -> None:
        """Wait until so many first answers are settled."""
        if self.settled < number:
            await self._waiting.setdefault(number, asyncio.Event()).wait()


class _Check:
    """A look at the store for the calls of an account."""

    def __init__(self, settled: int) -> None:
        self.at = asyncio.get_running_loop().time()
        self.settled = settled
        """The number of the first answers that were settled before."""
        self.may_call: bool | None = None
        """The result; None if there is none, yet or ever."""
        self.ended = asyncio.Event()


class BudgetGate:
    """The calls of one batch that wait for answers to be stored: its own, or those of all batches with monthly budgets.

    ``monthly`` checks the monthly budgets that concern the batch; None if there are none.
    """

    def __init__(self, store: BatchStore, batch_key: int, answers: PaidAnswers, monthly: BudgetCheck | None) -> None:
        self._store = store
        self._batch_key = batch_key
        self.answers = answers
        self._monthly = monthly
        self._allowed: dict[str, _Check] = {}
        """The last check of each account that has allowed its calls."""
        self._running: dict[str, _Check] = {}

    async def wait(self, account: str) -> None:
        """Wait until all answers so far are stored, and the batch is not paused and may call an account."""
        wanted = self.answers.count
        while not self._may_call(account, wanted):
            await self.answers.wait_for(wanted)
            if not await self._check(account, wanted):
                await asyncio.sleep(RECHECK)

    def _may_call(self, account: str, wanted: int) -> bool:
        """Return whether it is known that so many first answers have not paused the batch."""
        allowed = self._allowed.get(account)
        if allowed is None:
            return self._monthly is None and wanted == 0
        is_fresh = self._monthly is None or asyncio.get_running_loop().time() < allowed.at + RECHECK
        return is_fresh and allowed.settled >= wanted

    async def _check(self, account: str, wanted: int) -> bool:
        """Ask the store whether the batch may call an account; False if it may not, or cannot be read.

        So many first answers are settled. Calls that wait together share a check that has begun since then.
        """
        while running := self._running.get(account):
            await running.ended.wait()
            if running.settled >= wanted and running.may_call is not None:
                return running.may_call
        if self._may_call(account, wanted):
            return True
        check = self._running[account] = _Check(self.answers.settled)
        try:
            check.may_call = await self._ask(account)
            if check.may_call:
                self._allowed[account] = check
            return check.may_call
        finally:
            del self._running[account]
            check.ended.set()

    async def _ask(self, account: str) -> bool:
        try:
            batch = await self._store.find_batch_by_key(self._batch_key)
            if batch is None or batch.pause is not None:
                return False
            return self._monthly is None or await self._monthly.may_send(batch, account)
        except StoreError:  # the next chunk of results reports it
            return False


class BudgetGates:
    """The gates of the batches with a budget that this process runs."""

    def __init__(self, store: BatchStore, monthly: BudgetCheck) -> None:
        self._store = store
        self._monthly = monthly
        self._answers = PaidAnswers()
        """Those of all batches with monthly budgets."""
        self._gates: WeakValueDictionary[int, BudgetGate] = WeakValueDictionary()

    def of(self, claim: Claim) -> BudgetGate | None:
        """Return the gate of a batch, the same for all its shards; None if no budget concerned it at the claim."""
        batch = claim.batch
        if batch.budget is None and not self._monthly.concerns(claim):
            return None
        gate = self._gates.get(batch.key)
        if gate is None:
            gate = self._gates[batch.key] = self._new_gate(claim)
        return gate

    def _new_gate(self, claim: Claim) -> BudgetGate:
        if self._monthly.concerns(claim):
            return BudgetGate(self._store, claim.batch.key, self._answers, self._monthly)
        return BudgetGate(self._store, claim.batch.key, PaidAnswers(), None)
