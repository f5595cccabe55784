"""Budgets: what the answers of a batch may cost, in nano-dollars, before it is paused."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from batchgate.engine.model.price import Spend
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR, format_dollars

BudgetPauseCode: TypeAlias = Literal["budget_reached", "price_unknown"]
"""``budget_reached``: the answers have cost as much. ``price_unknown``: an answer cannot be counted in the budget."""


def budget_of(dollars: float) -> int:
    """Return an amount of US dollars as a budget; one that is smaller than a nano-dollar is that much."""
    return max(1, round(dollars * NANODOLLARS_PER_DOLLAR))


def budget_option(dollars: float | UnsetType) -> int | UnsetType:
    """Return the option for a budget that a create may name."""
    return UNSET if dollars is UNSET else budget_of(dollars)


def is_reached(budget: int | None, spend: Spend) -> bool:
    """Check if answers have cost as much as a budget."""
    return budget is not None and spend.total >= budget


def reached_text(budget: int, spend: Spend) -> str:
    """Say that a budget is reached."""
    return f"its budget of {format_dollars(budget)} is reached: {format_dollars(spend.total)} are spent"


def unknown_text(budget: int) -> str:
    """Say that a budget cannot be kept."""
    return f"its budget of {format_dollars(budget)} cannot be kept: the price of an answer is unknown"
