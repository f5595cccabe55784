"""``batchgate accounts`` and ``models``: what the gateway calls, in which state it is, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import click

from batchgate.cli.account_client import AccountClient
from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.listing_group import ListingGroup
from batchgate.cli.rendering import moment
from batchgate.cli.terminal_table import print_table
from batchgate.cli.terminal_text import say
from batchgate_api.gateway import Account, AccountPause, AccountTest, AccountTestError, Model, TokenPrices

T = TypeVar("T")

HEADINGS: Final = ("NAME", "PROVIDER", "STATE", "CONCURRENCY", "REFUSED", "BATCH API", "WHY")
MODEL_HEADINGS: Final = ("ACCOUNT", "MODEL", "REQUESTS", "INPUT", "CACHED", "OUTPUT", "BATCH INPUT", "BATCH OUTPUT")
MODEL_NUMBERS: Final = frozenset(MODEL_HEADINGS[2:])
ABSENT: Final = "-"
"""Stands for what is not known, or not for callers without the scope admin."""


@click.group("accounts", cls=ListingGroup)
def accounts_command() -> None:
    """Show the provider accounts of the gateway and test them; without a command, list them."""


@accounts_command.command("list")
@json_option("Print JSON, one account a line.")
@connected
def list_command(connection: Connection, *, as_json: bool) -> None:
    """List the accounts: state, calls at a time that each model takes, share of refused calls, batch API.

    CONCURRENCY is what the gateway has learnt of the maximum, REFUSED the share of the calls of the last 15 minutes
    that the provider refused for load (429, 529). Keys without the scope admin see names and states only.
    """
    accounts = _run(connection, lambda client: client.accounts())
    if as_json:
        for account in accounts:
            print_json(account)
    elif accounts:
        print_table(HEADINGS, map(_row, accounts))
    else:
        say("No account is configured. `batchgate init` writes the settings of one.", err=True)


@accounts_command.command("test")
@click.argument("name", metavar="NAME")
@click.option("--model", help="Call this model, for one token (the model that was used last, or the list of models).")
@as_json_option
@connected
@click.pass_context
def test_command(
    context: click.Context, connection: Connection, name: str, *, model: str | None, as_json: bool
) -> None:
    """Let the gateway make one small call to the account NAME; the exit status is 1 if the provider refuses it."""
    outcome = _run(connection, lambda client: client.test(name, model))
    if as_json:
        print_json(outcome)
    else:
        say(f"{name}: {test_text(outcome)}", err=not outcome.ok)
    if not outcome.ok:
        context.exit(1)


@click.command("models")
@click.option("--account", metavar="NAME", help="Only models of this account.")
@json_option("Print JSON, one model a line.")
@connected
def models_command(connection: Connection, *, account: str | None, as_json: bool) -> None:
    """List the models that were used in the last 30 days or have a price in the settings.

    Prices are those of a million tokens in US dollars: of direct calls, and of the provider's batch API.
    """
    found = _run(connection, lambda client: client.models())
    models = [model for model in found if account in {None, model.account}]
    if as_json:
        for model in models:
            print_json(model)
    elif models:
        print_table(MODEL_HEADINGS, map(_model_row, models), right=MODEL_NUMBERS)
    else:
        say("No model was used in the last 30 days, and none has a price in the settings.", err=True)


def test_text(outcome: AccountTest) -> str:
    """Return how a small call to an account ended."""
    called = "listed its models" if outcome.method == "list_models" else f"called {outcome.model}"
    if outcome.error is None:
        return f"ok, {called} in {outcome.seconds:.2f} s"
    return error_text(outcome.error)


def error_text(error: AccountTestError) -> str:
    """Return why a provider did not accept a call."""
    status = "" if error.status is None else f" ({error.status})"
    return f"{error.kind}{status}: {error.message}"


def _run(connection: Connection, call: Callable[[AccountClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with connection.client() as client:
            return await call(AccountClient(client))

    return asyncio.run(run())


def _row(account: Account) -> Sequence[str]:
    batch_api = {None: ABSENT, True: "yes", False: "no"}[account.has_batch_api]
    why = "; ".join(map(_pause, account.pauses)) or ABSENT
    return (account.name, account.provider, account.state, _concurrency(account), _refused(account), batch_api, why)


def _concurrency(account: Account) -> str:
    """Return how many calls each model takes at a time, and how many the settings allow."""
    if account.concurrency is None:
        return ABSENT
    models = account.models or ()
    if not models:
        return f"up to {account.concurrency}"
    names = [f" ({model.model})" if len(models) > 1 else "" for model in models]
    return ", ".join(f"{model.limit} of {model.maximum}{name}" for model, name in zip(models, names, strict=True))


def _refused(account: Account) -> str:
    recent = account.recent_calls
    if recent is None or not recent.calls:
        return ABSENT
    return f"{recent.refused / recent.calls:.0%} of {recent.calls:,}"


def _pause(pause: AccountPause) -> str:
    model = "" if pause.model is None else f"{pause.model}: "
    return f"{model}{pause.reason} (since {moment(pause.since)})"


def _model_row(model: Model) -> Sequence[str]:
    direct, native = _prices(model.direct), _prices(model.native)
    return (model.account, model.model, f"{model.requests:,}", *direct, native[0], native[2])


def _prices(prices: TokenPrices | None) -> tuple[str, str, str]:
    if prices is None:
        return (ABSENT, ABSENT, ABSENT)
    return (f"${prices.input:,.4g}", f"${prices.cached_input:,.4g}", f"${prices.output:,.4g}")
