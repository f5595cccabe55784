"""``batchgate validate``: checks a file and estimates its batch, without creating it."""

from __future__ import annotations

import asyncio
from typing import BinaryIO, get_args

import click

from batchgate.cli.connection import Connection, connected, header_value
from batchgate.cli.estimate_text import error_lines, estimate_lines
from batchgate.cli.failures import INCOMPLETE_STATUS
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.terminal_text import say
from batchgate.cli.validation import validate
from batchgate.engine.model.lane import Lane


@click.command("validate")
@click.argument("file", type=click.File("rb"))
@click.option("--account", metavar="NAME", callback=header_value, help="Use this provider account.")
@click.option("--lane", type=click.Choice(get_args(Lane)), help="How the requests would be sent, as of submit.")
@json_option("Print one line of JSON.")
@connected
@click.pass_context
def validate_command(
    context: click.Context,
    connection: Connection,
    file: BinaryIO,
    *,
    account: str | None,
    lane: str | None,
    as_json: bool,
) -> None:
    """Check FILE as a batch: print each bad line, then tokens, cost and duration. Nothing is stored or sent.

    FILE is as of submit; the requests may also be those of OpenAI's batch files.

    The exit status is 3 if there are errors.
    """
    show_validation(context, connection, file, account=account, lane=lane, as_json=as_json)


def show_validation(
    context: click.Context,
    connection: Connection,
    file: BinaryIO,
    *,
    account: str | None,
    lane: str | None,
    as_json: bool = False,
) -> None:
    """Print what is wrong with a file, and what its batch would need."""
    estimate = asyncio.run(validate(connection, file, account=account, lane=lane))
    if as_json:
        print_json(estimate)
    else:
        for line in error_lines(estimate):
            say(line, err=True)
        for line in estimate_lines(estimate):
            say(line)
    if estimate.error_count:
        context.exit(INCOMPLETE_STATUS)
