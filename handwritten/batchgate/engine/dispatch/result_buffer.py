"""The results of a shard run that are not stored yet, and when it is time to store them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from batchgate.engine.dispatch.budget_gate import BudgetGate
from batchgate.engine.model.shard import ResultLine

FLUSH_DELAY: Final = 0.1  # seconds, at most, that a result waits for others to be stored with
FLUSH_RESULTS: Final = 256  # results that are stored without waiting for more
FLUSH_ERRORS: Final = 20  # likewise, while all results of a run are permanent errors, which may pause the batch


class ResultBuffer:
    """Collects results until they are taken.

    Those of a batch with a budget are due at once, since calls wait for them.
    """

    def __init__(self, gate: BudgetGate | None) -> None:
        self._gate = gate
        self._results: list[ResultLine] = []
        self._numbers: list[int] = []
        self._only_errors = True
        self._has_results = asyncio.Event()
        self._is_due = asyncio.Event()

    def add(self, result: ResultLine) -> None:
        """Add a result."""
        self._results.append(result)
        if self._gate is not None and (result.spend.total or result.spend.unpriced):
            self._numbers.append(self._gate.answers.add())
        self._only_errors = self._only_errors and result.failure is not None and result.failure.permanent
        self._has_results.set()
        if self._numbers or len(self._results) >= (FLUSH_ERRORS if self._only_errors else FLUSH_RESULTS):
            self._is_due.set()

    def end(self) -> None:
        """Let `wait` return: no more results come."""
        self._has_results.set()
        self._is_due.set()

    async def wait(self) -> None:
        """Wait until results are to be stored."""
        await self._has_results.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_DELAY):
                await self._is_due.wait()

    def take(self) -> tuple[list[ResultLine], list[int]]:
        """Return the results, which are no longer here, and the numbers to pass to `settle` when they are stored."""
        results, self._results = self._results, []
        numbers, self._numbers = self._numbers, []
        self._has_results.clear()
        self._is_due.clear()
        return results, numbers

    def settle(self, numbers: list[int]) -> None:
        """Let calls go on that wait for these results, which are stored or dropped."""
        if self._gate is not None:
            self._gate.answers.settle(numbers)
