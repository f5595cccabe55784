"""The part of the store that keeps monthly budgets, and adds up what is spent of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from batchgate.engine.model.monthly_budget import MonthlyBudget


class BudgetStore(Protocol):
    """Keeps the budgets of workspaces, API keys and accounts for a month. Raises `StoreError`.

    What is spent is added up in the transactions that store results, which also pause their batch when a budget is
    reached. A budget counts the whole month in which it is set, by the stored usage.
    """

    async def set_account_budgets(self, budgets: Mapping[str, int | None], now: int) -> None:
        """Set the budgets of accounts, or remove them; those of other accounts stay."""
        ...

    async def set_key_budget(self, workspace: str, name: str, budget: int | None, now: int) -> None:
        """Set the budget of the API keys of a workspace that have a name, or remove it."""
        ...

    async def set_configured_key_budgets(self, budgets: Mapping[tuple[str, str], int | None], now: int) -> None:
        """Set the budgets of API keys by their workspaces and names, or remove them.

        A stored key of the same name may have a budget of its own, so there None leaves what is set.
        """
        ...

    async def monthly_budgets(self, now: int) -> Sequence[MonthlyBudget]:
        """Read all budgets with what is spent in the month of a time, ordered by kind, workspace and name."""
        ...

    async def reached_budgets(self, batch_key: int, now: int) -> Sequence[MonthlyBudget]:
        """Read the reached budgets among those of the workspace and the key of a batch, and of all accounts."""
        ...
