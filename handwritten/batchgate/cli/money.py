"""Amounts of money as values of options."""

from __future__ import annotations

from math import isfinite, nan
from typing import Final

import click

NO_BUDGET: Final = "none"


def read_money(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    """Read an amount of US dollars, or ``none``."""
    return money_of(value)


def money_of(text: str) -> float | None:
    """Return an amount of US dollars, or None for ``none``; raises `click.BadParameter`."""
    if text == NO_BUDGET:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = nan
    if not isfinite(amount):
        raise click.BadParameter(f"it must be an amount of US dollars such as 12.50, or {NO_BUDGET}")
    return amount
