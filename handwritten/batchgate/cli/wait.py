"""``batchgate wait``: waits until a batch has ended, and reports how."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import click

from batchgate.cli.connection import Connection, connected
from batchgate.cli.failures import INTERRUPTED_STATUS, BatchPaused, CommandFailed, GatewayRefused
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.output_file import check_output
from batchgate.cli.pause_help import pause_help
from batchgate.cli.run_report import report_end
from batchgate.cli.terminal_text import say
from batchgate.cli.waiting import wait_until_ended, write_results
from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchProgress

Wait: TypeAlias = Callable[[GatewayClient, str], Awaitable[BatchProgress]]
"""Waits until a batch has ended, and returns its counts."""


@click.command("wait")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help="Write the results to this file, or to stdout for -.",
)
@json_option("Print the ended batch as JSON, as `show --json` does.")
@connected
@click.pass_context
def wait_command(
    context: click.Context, connection: Connection, batch_id: str, *, output: Path | None, as_json: bool
) -> None:
    """Wait until the batch ID has ended, and say how many of its requests succeeded and why the others did not.

    The exit status is 0 when all requests succeeded and 3 when some did not.
    """
    target = None if output is None else check_output(output)
    finish(context, connection, batch_id, target, as_json=as_json)


def finish(
    context: click.Context,
    connection: Connection,
    batch_id: str,
    target: Path | None,
    wait: Wait = wait_until_ended,
    *,
    as_json: bool = False,
) -> None:
    """Wait for a batch, write its results if there is a target, and report; the exit status says how it ended.

    ``wait`` shows the progress meanwhile, and with ``as_json`` the batch is printed at the end. If the waiting stops
    early, the command that gets the results later is printed.
    """
    later = (
        f"The batch continues on the gateway. Its results, when it has ended: {connection.command('results', batch_id)}"
    )
    try:
        batch, progress = asyncio.run(_wait_and_write(connection, batch_id, target, wait))
    except KeyboardInterrupt:
        say(f"Stopped waiting. {later}", err=True)
        context.exit(INTERRUPTED_STATUS)
    except BatchPaused as error:
        raise paused_failure(connection, error) from error
    except CommandFailed as error:
        if isinstance(error, GatewayRefused) and not error.retry_safe:
            raise  # there is no such batch, or the key may not read it
        raise CommandFailed(f"{error}\n{later}", cause=error) from error
    if as_json:
        print_json(batch)
    report_end(context, connection, batch, progress, target)


def paused_failure(connection: Connection, error: BatchPaused) -> CommandFailed:
    """Return the failure to wait for a paused batch, with what its owner can do."""
    help_text = pause_help(error.batch_id, "identical_errors", connection.command)
    return CommandFailed(f"{error}\n{help_text[0].upper()}{help_text[1:]}", cause=error)


async def _wait_and_write(
    connection: Connection, batch_id: str, target: Path | None, wait: Wait
) -> tuple[MessageBatch, BatchProgress]:
    async with connection.client() as client:
        progress = await wait(client, batch_id)
        if target is not None and progress.status != "failed":
            await write_results(client, batch_id, target)
        return await client.find(batch_id), progress
