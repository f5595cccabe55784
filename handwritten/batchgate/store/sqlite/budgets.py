"""Monthly budgets in a SQLite file: what is spent of them is counted in the transactions that store results."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from batchgate.engine.model.monthly_budget import MonthlyBudget, cannot_create
from batchgate.engine.model.workspace import month_of
from batchgate.store.budget_records import (
    ClaimBudgets,
    budget_from_row,
    budget_row,
    budgets_from_rows,
    changed_key_budget_rows,
)
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.usage_records import stored_name

QUERIES: Final = load_queries("batchgate.store.sqlite", "budgets.sql")


class SqliteBudgets:
    """`BudgetStore` on a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def set_account_budgets(self, budgets: Mapping[str, int | None], now: int) -> None:
        """Set the budgets of accounts, or remove them."""
        rows = [budget_row("account", "", name, budget, now) for name, budget in budgets.items()]
        await self._file.write(lambda connection: set_budgets(connection, rows))

    async def set_key_budget(self, workspace: str, name: str, budget: int | None, now: int) -> None:
        """Set the budget of the API keys of a name, or remove it."""
        row = budget_row("key", workspace, name, budget, now)
        await self._file.write(lambda connection: set_budgets(connection, [row]))

    async def set_configured_key_budgets(self, budgets: Mapping[tuple[str, str], int | None], now: int) -> None:
        """Set the budgets of API keys of the settings, or remove those that no stored key has."""
        rows = changed_key_budget_rows(budgets, await self.monthly_budgets(now), now)
        if rows:
            await self._file.write(lambda connection: set_budgets(connection, rows, "remove_configured_key_budget"))

    async def monthly_budgets(self, now: int) -> Sequence[MonthlyBudget]:
        """Read all budgets with what is spent."""
        params = {"month": month_of(now)}
        rows = await self._file.read(lambda c: c.execute(QUERIES["monthly_budgets"], params).fetchall())
        return [budget_from_row(row) for row in rows]

    async def reached_budgets(self, batch_key: int, now: int) -> Sequence[MonthlyBudget]:
        """Read the reached budgets that may stop a batch."""
        return await self._file.look_up(
            ("reached_budgets", batch_key, month_of(now)), lambda c: reached_budgets(c, batch_key, now)
        )


def set_budgets(
    connection: sqlite3.Connection, rows: Iterable[Mapping[str, object]], remove: str = "remove_budget"
) -> None:
    """Set budgets, or remove them with a query."""
    for row in rows:
        query = remove if row["budget"] is None else "set_budget"
        connection.execute(QUERIES[query], dict(row) | {"days": msgspec.json.encode(row["days"]).decode()})


def charge_budgets(connection: sqlite3.Connection, spenders: Sequence[Mapping[str, object]]) -> bool:
    """Add a cost to the budgets that there are; return whether there is any."""
    return bool(spenders) and connection.executemany(QUERIES["charge_budget"], spenders).rowcount > 0


def reached_budgets(connection: sqlite3.Connection, batch_key: int, now: int) -> list[MonthlyBudget]:
    """Read the reached budgets among those of the workspace and the key of a batch, and of all accounts."""
    params = {"batch_key": batch_key, "month": month_of(now)}
    return [budget_from_row(row) for row in connection.execute(QUERIES["reached_budgets"], params)]


def budgets_of_claim(connection: sqlite3.Connection, batch_key: int) -> ClaimBudgets:
    """Read which budgets may stop a batch."""
    return budgets_from_rows(connection.execute(QUERIES["budgets_of_batch"], {"batch_key": batch_key}))


def check_key_budget(connection: sqlite3.Connection, workspace: str, key: str, now: int) -> None:
    """Raise `RefusedError` if the budget of the API key that creates a batch is reached."""
    params = {"workspace": workspace, "name": stored_name(key), "month": month_of(now)}
    row = connection.execute(QUERIES["key_budget"], params).fetchone()
    budget = None if row is None else budget_from_row(row)
    if budget is not None and budget.is_reached:
        raise cannot_create(budget)
