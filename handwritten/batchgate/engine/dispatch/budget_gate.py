"""Holds back the calls of a batch with a budget until the answers before them are stored and have not paused it.

A permit that an answer has freed is used for another call only then. So once the stored cost has reached the budget,
each permit is used for one call at most, and what is spent beyond the budget is bounded by the calls that may be in
flight. Monthly budgets, of which other batches spend too, are also looked at before the first call, and twice a second.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from msgspec import Struct

from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StoreError
from batchgate.engine.ports.batch_store import BatchStore

RECHECK: Final = 0.5
"""Seconds until the store is asked again whether the batch is paused."""


class _Checked(Struct, frozen=True):
    answers: int
    """The number of the first answers that are known not to have paused the batch."""
    at: float


class BudgetGate:
    """The answers of one batch in this process, and the calls that wait for them to be stored.

    ``monthly`` checks the monthly budgets that concern the batch; None if there are none.
    """

    def __init__(self, store: BatchStore, batch_key: int, monthly: BudgetCheck | None) -> None:
        self._store = store
        self._batch_key = batch_key
        self._monthly = monthly
        self._answers = 0
        self._unsettled: set[int] = set()
        self._checked: dict[str, _Checked] = {}
        """What is known for the calls of each account."""
        self._changed = asyncio.Event()
        self._checking = asyncio.Lock()

    def answered(self) -> int:
        """Note an answer, and return its number for `settle`."""
        self._answers += 1
        self._unsettled.add(self._answers)
        return self._answers

    def settle(self, numbers: list[int]) -> None:
        """Note that answers are stored, or will not be; clears the list."""
        self._unsettled.difference_update(numbers)
        numbers.clear()
        self._changed.set()

    async def wait(self, account: str) -> None:
        """Wait until all answers so far are stored, and the batch is not paused and may call an account."""
        wanted = self._answers
        while not self._may_call(account, wanted):
            if self._settled < wanted:
                self._changed.clear()
                await self._changed.wait()
            elif not await self._check(account, wanted):
                await asyncio.sleep(RECHECK)

    def _may_call(self, account: str, wanted: int) -> bool:
        """Return whether it is known that so many first answers have not paused the batch."""
        checked = self._checked.get(account)
        if checked is None:
            return self._monthly is None and wanted == 0
        is_fresh = self._monthly is None or asyncio.get_running_loop().time() < checked.at + RECHECK
        return is_fresh and checked.answers >= wanted

    @property
    def _settled(self) -> int:
        """The number of the first answers that are all settled."""
        return min(self._unsettled) - 1 if self._unsettled else self._answers

    async def _check(self, account: str, wanted: int) -> bool:
        """Ask the store whether the batch may call an account; False if it may not, or cannot be read."""
        async with self._checking:
            if self._may_call(account, wanted):
                return True
            settled = self._settled
            try:
                batch = await self._store.find_batch_by_key(self._batch_key)
                if batch is None or batch.pause is not None:
                    return False
                if self._monthly is not None and not await self._monthly.may_send(batch, account):
                    return False
            except StoreError:  # the next chunk of results reports it
                return False
            self._checked[account] = _Checked(settled, asyncio.get_running_loop().time())
            return True


class BudgetGates:
    """The gates of the batches with a budget that this process runs."""

    def __init__(self, store: BatchStore, monthly: BudgetCheck) -> None:
        self._store = store
        self._monthly = monthly
        self._gates: WeakValueDictionary[int, BudgetGate] = WeakValueDictionary()

    def of(self, claim: Claim) -> BudgetGate | None:
        """Return the gate of a batch, the same for all its shards; None if no budget concerned it at the claim."""
        batch = claim.batch
        if batch.budget is None and not claim.has_monthly_budget:
            return None
        gate = self._gates.get(batch.key)
        if gate is None:
            monthly = self._monthly if claim.has_monthly_budget else None
            gate = self._gates[batch.key] = BudgetGate(self._store, batch.key, monthly)
        return gate
