"""Monthly budgets in a PostgreSQL database: what is spent of them is counted in the transactions that store results.

The statement that stores a chunk adds its cost to the budgets, and locks their rows last, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchgate.engine.model.monthly_budget import MonthlyBudget, cannot_create
from batchgate.engine.model.workspace import month_of
from batchgate.store.budget_records import budget_from_row, budget_row, changed_key_budget_rows
from batchgate.store.postgres.connection import Params, PostgresPool, Transaction
from batchgate.store.usage_records import stored_name


class PostgresBudgets:
    """`BudgetStore` on PostgreSQL."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def set_account_budgets(self, budgets: Mapping[str, int | None], now: int) -> None:
        """Set the budgets of accounts, or remove them."""
        stored = {each.name: each.budget for each in await self.monthly_budgets(now) if each.kind == "account"}
        rows = [
            budget_row("account", "", name, budget, now)
            for name, budget in budgets.items()
            if stored.get(stored_name(name)) != budget
        ]
        if rows:  # a start that changes nothing does not make the results of other processes wait
            await self._set(rows)

    async def set_key_budget(self, workspace: str, name: str, budget: int | None, now: int) -> None:
        """Set the budget of the API keys of a name, or remove it."""
        await self._set([budget_row("key", workspace, name, budget, now)])

    async def set_configured_key_budgets(self, budgets: Mapping[tuple[str, str], int | None], now: int) -> None:
        """Set the budgets of API keys of the settings, or remove those that no stored key has."""
        rows = changed_key_budget_rows(budgets, await self.monthly_budgets(now), now)
        if rows:
            await self._set(rows, "remove_configured_key_budget")

    async def monthly_budgets(self, now: int) -> Sequence[MonthlyBudget]:
        """Read all budgets with what is spent."""
        return [budget_from_row(row) for row in await self._pool.fetch_all("monthly_budgets", {"month": month_of(now)})]

    async def reached_budgets(self, batch_key: int, now: int) -> Sequence[MonthlyBudget]:
        """Read the reached budgets that may stop a batch."""
        params = {"batch_key": batch_key, "month": month_of(now)}
        return [budget_from_row(row) for row in await self._pool.fetch_all("reached_budgets", params)]

    async def _set(self, rows: Sequence[Params], remove: str = "remove_budget") -> None:
        async def work(transaction: Transaction) -> None:
            await transaction.execute("lock_budgets", {})
            for row in rows:
                await set_budget(transaction, row, remove)

        await self._pool.write(work, repeatable=True)


async def set_budget(transaction: Transaction, row: Mapping[str, object], remove: str = "remove_budget") -> None:
    """Set a budget, or remove it with a query, in a transaction that has locked the budgets."""
    await transaction.execute(remove if row["budget"] is None else "set_budget", row)


async def reached_budgets(transaction: Transaction, batch_key: int, now: int) -> list[MonthlyBudget]:
    """Read the reached budgets among those of the workspace and the key of a batch, and of all accounts."""
    params = {"batch_key": batch_key, "month": month_of(now)}
    return [budget_from_row(row) for row in await transaction.fetch_all("reached_budgets", params)]


async def check_key_budget(transaction: Transaction, workspace: str, key: str, now: int) -> None:
    """Raise `RefusedError` if the budget of the API key that creates a batch is reached."""
    params = {"workspace": workspace, "name": stored_name(key), "month": month_of(now)}
    row = await transaction.fetch_one("key_budget", params)
    budget = None if row is None else budget_from_row(row)
    if budget is not None and budget.is_reached:
        raise cannot_create(budget)
