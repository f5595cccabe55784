"""Reports accounts whose monthly budget is reached: their batches wait for an operator, or for the next month."""

from __future__ import annotations

from collections.abc import Mapping

from batchgate.engine.model.errors import BudgetReached
from batchgate.engine.model.monthly_budget import reached_text
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.support.health_problems import HealthReporter


class AccountBudgets:
    """The accounts of this process that have a monthly budget."""

    def __init__(self, store: BudgetStore, budgets: Mapping[str, int | None], report: HealthReporter) -> None:
        self._store = store
        self._accounts = frozenset(name for name, budget in budgets.items() if budget is not None)
        self._report = report

    async def report_reached(self, now: int) -> None:
        """Report each account whose budget is reached, and the end of that; reads nothing without budgets."""
        if not self._accounts:
            return
        for each in await self._store.monthly_budgets(now):
            if each.kind == "account" and each.name in self._accounts:
                error = BudgetReached(reached_text(each)) if each.is_reached else None
                self._report(f"account/{each.name}", error)
