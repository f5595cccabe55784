"""Holds back the calls of a batch with a budget until the answers before them are stored and have not paused it.

A permit that an answer has freed is used for another call only then. So once the stored cost has reached the budget,
each permit is used for one call at most, and what is spent beyond the budget is bounded by the calls that may be in
flight.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.errors import StoreError
from batchgate.engine.ports.batch_store import BatchStore

RECHECK: Final = 0.5
"""Seconds until the store is asked again whether the batch is paused."""


class BudgetGate:
    """The answers of one batch in this process, and the calls that wait for them to be stored."""

    def __init__(self, store: BatchStore, batch_key: int) -> None:
        self._store = store
        self._batch_key = batch_key
        self._answers = 0
        self._unsettled: set[int] = set()
        self._checked = 0
        """The number of the first answers that are known not to have paused the batch."""
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

    async def wait(self) -> None:
        """Wait until all answers so far are stored and the batch is not paused."""
        wanted = self._answers
        while self._checked < wanted:
            if self._settled < wanted:
                self._changed.clear()
                await self._changed.wait()
            elif not await self._check(wanted):
                await asyncio.sleep(RECHECK)

    @property
    def _settled(self) -> int:
        """The number of the first answers that are all settled."""
        return min(self._unsettled) - 1 if self._unsettled else self._answers

    async def _check(self, wanted: int) -> bool:
        """Ask the store whether the batch is paused; False if it is, or cannot be read."""
        async with self._checking:
            if self._checked >= wanted:
                return True
            settled = self._settled
            try:
                batch = await self._store.find_batch_by_key(self._batch_key)
            except StoreError:  # the next chunk of results reports it
                return False
            if batch is None or batch.pause is not None:
                return False
            self._checked = max(self._checked, settled)
            return True


class BudgetGates:
    """The gates of the batches with a budget that this process runs."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._gates: WeakValueDictionary[int, BudgetGate] = WeakValueDictionary()

    def of(self, batch: Batch) -> BudgetGate | None:
        """Return the gate of a batch, the same for all its shards; None if it had no budget when it was read."""
        if batch.budget is None:
            return None
        gate = self._gates.get(batch.key)
        if gate is None:
            gate = self._gates[batch.key] = BudgetGate(self._store, batch.key)
        return gate
