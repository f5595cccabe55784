"""Usage as the gateway's API shows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from batchgate.engine.model.daily_usage import UsageAmounts, UsageDimension, UsageGroup, UsageQuery, total_amounts
from batchgate.engine.model.monthly_budget import MonthlyBudget
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate_api import gateway

T = TypeVar("T")


def usage_report(
    query: UsageQuery, groups: Sequence[UsageGroup], workspace: gateway.Workspace, budgets: Sequence[MonthlyBudget]
) -> gateway.UsageReport:
    """Return the report of a query."""
    total = UsageGroup(amounts=total_amounts([group.amounts for group in groups]))
    return gateway.UsageReport(
        since=query.since,
        until=query.until,
        data=[_group(group, query.by) for group in groups],
        total=_group(total, ()),
        workspace=workspace,
        monthly_budgets=[_budget(budget) for budget in budgets],
    )


def _group(group: UsageGroup, by: Collection[UsageDimension]) -> gateway.UsageGroup:
    def shown(name: UsageDimension, value: T) -> T | UnsetType:
        return value if name in by else UNSET

    amounts = group.amounts
    return gateway.UsageGroup(
        day=shown("day", group.day),
        model=shown("model", group.model or None),
        account=shown("account", group.account or None),
        lane=shown("lane", "native" if group.lane == "native" else "direct"),
        workspace=shown("workspace", group.workspace),
        key=shown("key", group.key or None),
        succeeded=amounts.succeeded,
        errored=amounts.errored,
        tokens=_tokens(amounts),
        cost_usd=amounts.cost / NANODOLLARS_PER_DOLLAR,
        saved_usd=amounts.saved / NANODOLLARS_PER_DOLLAR,
        unpriced=amounts.unpriced,
        paid_twice=amounts.paid_twice,
    )


def _budget(budget: MonthlyBudget) -> gateway.MonthlyBudget:
    return gateway.MonthlyBudget(
        kind=budget.kind,
        workspace=budget.workspace or None,
        name=budget.name,
        month=budget.month,
        budget_usd=budget.budget / NANODOLLARS_PER_DOLLAR,
        spent_usd=budget.spent / NANODOLLARS_PER_DOLLAR,
    )


def _tokens(amounts: UsageAmounts) -> gateway.BatchTokens:
    return gateway.BatchTokens(
        input=amounts.input_tokens,
        cached_input=amounts.cached_tokens,
        output=amounts.output_tokens,
        reasoning=amounts.reasoning_tokens,
    )
