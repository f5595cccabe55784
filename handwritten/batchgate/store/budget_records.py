"""Conversions between database rows and monthly budgets, the same for every database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypedDict

from batchgate.engine.model.api_key import ApiKey
from batchgate.engine.model.monthly_budget import MonthlyBudget, SpenderKind, budgets_of_keys, days_of
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.workspace import Workspace, month_of
from batchgate.store.native_records import LateAnswerCount
from batchgate.store.records import Row
from batchgate.store.usage_records import stored_name

COLUMNS: Final = ("kind", "workspace", "name", "cost")


def budget_row(kind: SpenderKind, workspace: str, name: str, budget: int | None, now: int) -> dict[str, object]:
    """Return the parameters that set a budget, or remove it, and find what is spent of it already."""
    month = month_of(now)
    who = {"kind": kind, "workspace": workspace, "name": stored_name(name)}
    return who | {"budget": budget, "month": month, "days": days_of(month)}


def changed_key_budget_rows(
    budgets: Mapping[tuple[str, str], int | None], stored: Iterable[MonthlyBudget], now: int
) -> list[dict[str, object]]:
    """Return the parameters that set or remove budgets of API keys where another one, or none, is stored."""
    before = {each: budget.budget for each, budget in budgets_of_keys(stored).items()}
    return [
        budget_row("key", workspace, name, budget, now)
        for (workspace, name), budget in budgets.items()
        if before.get((workspace, stored_name(name))) != budget
    ]


def key_budget_row(key: ApiKey, budget: int) -> dict[str, object]:
    """Return the parameters that set the budget of a new API key."""
    return budget_row("key", key.workspace, key.name, budget, key.created_at)


def workspace_budget_row(new: Workspace) -> dict[str, object]:
    """Return the parameters that set the budget of a new workspace."""
    return budget_row("workspace", new.name, new.name, new.quotas.monthly_spend, new.created_at)


def budget_from_row(row: Row) -> MonthlyBudget:
    """Return the budget in a row."""
    return MonthlyBudget(**{name: row[name] for name in MonthlyBudget.__struct_fields__})


class ClaimBudgets(TypedDict):
    """The fields of a claim that say which monthly budgets there are."""

    has_monthly_budget: bool
    budgeted_accounts: frozenset[str]


def budgets_from_rows(rows: Iterable[Row]) -> ClaimBudgets:
    """Return what a claim says of the budgets in rows that may stop its batch."""
    budgets: list[tuple[SpenderKind, str]] = [(row["kind"], row["name"]) for row in rows]
    return {
        "has_monthly_budget": any(kind != "account" for kind, _ in budgets),
        "budgeted_accounts": frozenset(name for kind, name in budgets if kind == "account"),
    }


def charged_spenders(batch: Row, chunk: ResultChunk) -> list[dict[str, object]]:
    """Return the parameters that add the cost of a chunk to the budgets which it concerns."""
    accounts: dict[str, int] = {}
    for used in chunk.models:
        if used.called is not None:
            accounts[used.called.account] = accounts.get(used.called.account, 0) + used.spend.total
    return _spenders(batch, chunk.spend.total, accounts, chunk.at)


def charged_by_late_answers(batch: Row, late: LateAnswerCount) -> list[dict[str, object]]:
    """Return the parameters that add the cost of late answers of a job to budgets."""
    return _spenders(batch, late.spend.total, {late.job.account: late.spend.total}, late.at)


def spender_columns(spenders: Collection[Mapping[str, object]], now: int) -> dict[str, object]:
    """Return the parameters of some spenders as lists, one for each column, and the month of a time."""
    return {f"spender_{name}s": [each[name] for each in spenders] for name in COLUMNS} | {"month": month_of(now)}


def _spenders(batch: Row, cost: int, accounts: Mapping[str, int], at: int) -> list[dict[str, object]]:
    if not cost:
        return []
    workspace, key, month = batch["workspace"], stored_name(batch["caller"]), month_of(at)
    costs = [("workspace", workspace, workspace, cost), ("key", workspace, key, cost)]
    costs += [("account", "", stored_name(name), part) for name, part in sorted(accounts.items())]
    return [dict(zip(COLUMNS, each, strict=True)) | {"month": month} for each in costs]
