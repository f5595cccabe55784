"""``batchgate retry``: creates a batch of the requests of an ended batch that did not succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import click
from msgspec import UNSET, UnsetType

from batchgate.cli.connection import Connection, connected
from batchgate.cli.creation_options import bounded_name
from batchgate.cli.failures import CommandFailed, ConnectionBroken
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.money import money_of
from batchgate.cli.output_file import STANDARD_OUTPUT, check_output
from batchgate.cli.terminal_text import say
from batchgate.cli.wait import finish
from batchgate.engine.model.errors import ErrorKind
from batchgate.engine.model.retry import RetryReason
from batchgate_api.gateway import BatchSummary, RetryBatch

REASONS: Final[tuple[RetryReason, ...]] = ("errored", "expired", "canceled", *get_args(ErrorKind))
NO_WEBHOOK: Final = "none"


def _read_webhook(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | UnsetType | None:
    return UNSET if value is None else None if value == NO_WEBHOOK else value


def _read_budget(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | UnsetType | None:
    return UNSET if value is None else money_of(value)


@click.command("retry")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--only",
    type=click.Choice(REASONS),
    multiple=True,
    help="Retry only what ended so: errored (every error), expired, canceled, or one class of error. May be repeated.",
)
@click.option(
    "--custom-id",
    "custom_ids",
    metavar="CUSTOM_ID",
    multiple=True,
    help="Retry only this request, even if it succeeded. May be repeated.",
)
@click.option("--model", help="Use this model.")
@click.option("--account", metavar="NAME", help="Use this provider account.")
@click.option(
    "--name", callback=bounded_name, help="Give the new batch a name; without it, it has the name of the batch ID."
)
@click.option(
    "--webhook",
    metavar="URL|none",
    callback=_read_webhook,
    help="Send the events of the new batch to this https URL, or to none; without it, as those of the batch ID.",
)
@click.option(
    "--budget",
    metavar="USD|none",
    callback=_read_budget,
    help="Pause the new batch once its answers have cost so much, in US dollars, or never; without it, it has the "
    "first budget of the batch ID.",
)
@click.option("--wait", is_flag=True, help="Wait until the new batch has ended.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help="With --wait: write its results to this file, or to stdout for -.",
)
@json_option("Print the new batch as JSON; with --wait, at its end.")
@connected
@click.pass_context
def retry_command(
    context: click.Context,
    connection: Connection,
    batch_id: str,
    *,
    only: Sequence[RetryReason],
    custom_ids: Sequence[str],
    model: str | None,
    account: str | None,
    name: str | None,
    webhook: str | UnsetType | None,
    budget: float | UnsetType | None,
    wait: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Retry the requests of the ended batch ID that did not succeed, as a new batch, and print its id.

    The gateway reads them from the stored input of the batch, so your file is not needed.

    With --wait the exit status is 0 when all requests succeeded and 3 when some did not.
    """
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; without it, `batchgate results ID` writes the results.")
    target = None if output is None else check_output(output)
    retry = RetryBatch(
        only=list(only) or UNSET,
        custom_ids=list(custom_ids) or UNSET,
        model=UNSET if model is None else model,
        account=UNSET if account is None else account,
        name=UNSET if name is None else name,
        webhook_url=webhook,
        budget_usd=budget,
    )
    batch = asyncio.run(_retry(connection, batch_id, retry))
    if not as_json or wait:
        say(batch.id, err=as_json or target == STANDARD_OUTPUT)
    if wait:
        finish(context, connection, batch.id, target, as_json=as_json)
    elif as_json:
        print_json(batch)


async def _retry(connection: Connection, batch_id: str, retry: RetryBatch) -> BatchSummary:
    async with connection.client() as client:
        try:
            return await client.retry(batch_id, retry)
        except ConnectionBroken as error:
            check = connection.command("list", "--limit", "1")
            message = f"{error} The batch may have been created; check with: {check}"
            raise CommandFailed(message, cause=error) from error
