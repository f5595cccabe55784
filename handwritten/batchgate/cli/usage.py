"""``batchgate usage``: tokens, requests and cost by day, model, account, lane, workspace or API key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import click

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_output import print_json
from batchgate.cli.rendering import dollars
from batchgate.cli.terminal_table import print_table
from batchgate.cli.terminal_text import say
from batchgate.engine.model.daily_usage import USAGE_DIMENSIONS
from batchgate_api.gateway import MonthlyBudget, UsageGroup, UsageReport

AMOUNTS: Final = ("SUCCEEDED", "ERRORED", "INPUT TOKENS", "OUTPUT TOKENS", "COST")
ABSENT: Final = "-"
"""Stands for a model, an account or a key that there is not."""


def _dimensions(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the names of a list, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if name not in USAGE_DIMENSIONS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(USAGE_DIMENSIONS)}")
    return names


@click.command("usage")
@click.option(
    "--by",
    metavar="NAMES",
    default="day",
    show_default=True,
    callback=_dimensions,
    help=f"What to group by, separated by commas: {', '.join(USAGE_DIMENSIONS)}.",
)
@click.option("--since", metavar="DAY", help="First day (UTC): 2026-11-24, or 7d for so many days to the last (30d).")
@click.option("--until", metavar="DAY", help="Last day (today).")
@click.option("--model", help="Count only results of this model.")
@click.option("--account", metavar="NAME", help="Count only results of this account.")
@click.option("--lane", type=click.Choice(("direct", "native")), help="Count only results of this lane.")
@click.option("--workspace", metavar="NAME", help="Count only results of this workspace.")
@click.option("--key", metavar="NAME", help="Count only batches that the API key with this name created.")
@as_json_option
@connected
def usage_command(
    connection: Connection,
    /,
    *,
    by: Sequence[str],
    since: str | None,
    until: str | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Show what results used and cost, of your workspace; with the scope admin, of all workspaces."""
    days = {"since": _first_day(since, until), "until": until}
    report = asyncio.run(_read(connection, {"by": ",".join(by), **days, **filters}))
    if as_json:
        print_json(report)
        return
    headings, *rows = usage_table(report, by)
    print_table(headings, rows, right=AMOUNTS)
    for budget in report.monthly_budgets:
        say(_budget_line(budget))


async def _read(connection: Connection, asked: Mapping[str, str | None]) -> UsageReport:
    query = {name: value for name, value in asked.items() if value is not None}
    async with connection.client() as client:
        return await client.ask("GET", "/api/usage", UsageReport, query=query)


def _first_day(text: str | None, until: str | None) -> str | None:
    """Return the first day, which may be given as a number of days; the gateway checks other texts."""
    number = "" if text is None else text.removesuffix("d")
    if number == text or not (number.isascii() and number.isdigit()):
        return text
    try:
        last = datetime.now(UTC).date() if until is None else date.fromisoformat(until)
        return (last - timedelta(days=max(0, int(number) - 1))).isoformat()
    except OverflowError:
        raise click.BadParameter(f"{text} is too many days", param_hint="--since") from None
    except ValueError:
        return None  # the gateway refuses the last day


def usage_table(report: UsageReport, by: Sequence[str]) -> list[list[str]]:
    """Return the headings and the rows of a table of the groups, with their total in the last row."""
    rows = [[name.upper() for name in by] + list(AMOUNTS)]
    rows += [[_shown(getattr(group, name)) for name in by] + _amounts(group) for group in report.data]
    rows.append(["TOTAL", *[""] * (len(by) - 1), *_amounts(report.total)])
    return rows


def _budget_line(budget: MonthlyBudget) -> str:
    who = f"{budget.kind} {budget.name}" + (f" of {budget.workspace}" if budget.kind == "key" else "")
    reached = ", reached" if budget.spent_usd >= budget.budget_usd else ""
    return f"Budget of {who}: {dollars(budget.spent_usd)} of {dollars(budget.budget_usd)} in {budget.month}{reached}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else ABSENT


def _amounts(group: UsageGroup) -> list[str]:
    numbers = (group.succeeded, group.errored, group.tokens.input, group.tokens.output)
    return [f"{number:,}" for number in numbers] + [dollars(group.cost_usd)]
