"""Budgets for a calendar month (UTC): what the answers for a workspace, an API key or an account may cost together."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.steering import Pause
from batchgate.engine.model.workspace import format_dollars

SpenderKind: TypeAlias = Literal["workspace", "key", "account"]
"""For whom a budget is. API keys count by name and workspace: one that replaces another shares its budget."""

_NAMES: Final[dict[SpenderKind, str]] = {"workspace": "workspace", "key": "API key", "account": "account"}


class MonthlyBudget(Struct, frozen=True, kw_only=True):
    """A budget, and what is spent of it; both are in nano-dollars."""

    kind: SpenderKind
    workspace: str
    """The workspace, or that of the API key; empty for an account, which all workspaces share."""
    name: str
    budget: int
    month: str
    """The month of ``spent``, such as ``2026-11``."""
    spent: int

    @property
    def is_reached(self) -> bool:
        """Whether nothing is left of it."""
        return self.spent >= self.budget

    def stops(self, account: str) -> bool:
        """Check if the budget, which is reached, stops calls of an account for a batch that it concerns."""
        return self.kind != "account" or self.name == account


def days_of(month: str) -> list[str]:
    """Return the days of a month, such as ``2026-11-30``."""
    year, number = map(int, month.split("-"))
    return [f"{month}-{day:02}" for day in range(1, monthrange(year, number)[1] + 1)]


def budgets_of_keys(budgets: Iterable[MonthlyBudget]) -> dict[tuple[str, str], MonthlyBudget]:
    """Return the budgets of API keys by their workspaces and names."""
    return {(budget.workspace, budget.name): budget for budget in budgets if budget.kind == "key"}


def reached_text(reached: MonthlyBudget) -> str:
    """Say whose budget is reached, and how much it is."""
    budget, spent = format_dollars(reached.budget), format_dollars(reached.spent)
    spender = f"{_NAMES[reached.kind]} {reached.name!r}"
    return f"the monthly budget of {spender}, {budget}, is reached: {spent} are spent in {reached.month}"


def pause_for(reached: MonthlyBudget) -> Pause:
    """Return the pause of a batch whose further answers would exceed a budget."""
    return Pause(code="monthly_budget_reached", reason=f"{reached_text(reached)}; {_help(reached)}")


def cannot_resume(batch_id: str, reached: MonthlyBudget) -> RefusedError:
    """Return the error for the resume of a batch that would be paused again."""
    message = f"Batch {batch_id!r} cannot be resumed: {reached_text(reached)}; {_help(reached)}."
    return RefusedError("invalid_request_error", message)


def cannot_create(reached: MonthlyBudget) -> RefusedError:
    """Return the error for a new batch that could send nothing; SDKs do not retry it."""
    message = f"No batch can be created: {reached_text(reached)}. Raise it, or create the batch next month."
    headers = {"x-should-retry": "false"}
    return RefusedError("rate_limit_error", message, code="quota_exceeded", headers=headers)


def _help(reached: MonthlyBudget) -> str:
    where = " in the settings" if reached.kind == "account" else ""
    return f"raise it{where}, or resume the batch next month"
