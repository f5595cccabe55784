"""``batchgate submit``: creates a batch from a file, and with --wait writes its results to a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO, Final, get_args

import click

from batchgate.cli.connection import Connection, connected, header_value
from batchgate.cli.failures import INCOMPLETE_STATUS, INTERRUPTED_STATUS, CommandFailed, ConnectionBroken
from batchgate.cli.rendering import outcome
from batchgate.cli.submission import create_body, read_pieces
from batchgate.cli.terminal_text import say
from batchgate.cli.waiting import STANDARD_OUTPUT, wait_until_ended, write_results
from batchgate.engine.model.lane import Lane
from batchgate_api.gateway import BatchProgress

RESULTS_SUFFIX: Final = ".results.jsonl"


@click.command("submit")
@click.argument("file", type=click.File("rb"))
@click.option("--wait", is_flag=True, help="Wait until the batch has ended, and write its results.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help=f"Write the results to this file, or to stdout for - (FILE with the suffix {RESULTS_SUFFIX}).",
)
@click.option("--account", metavar="NAME", callback=header_value, help="Use this provider account.")
@click.option(
    "--lane",
    type=click.Choice(get_args(Lane)),
    help="Call each request (direct), use the provider's batch API (native), or what is cheaper and fits (auto); "
    "without it, the account decides.",
)
@connected
@click.pass_context
def submit_command(
    context: click.Context,
    connection: Connection,
    file: BinaryIO,
    *,
    wait: bool,
    output: Path | None,
    account: str | None,
    lane: str | None,
) -> None:
    """Submit FILE as a batch and print its id.

    FILE is JSON, {"requests": [{"custom_id": ..., "params": {...}}, ...]}, or JSONL with one such request a line, or -
    for stdin. The params are those of the Messages API.

    With --wait the exit status is 0 when all requests succeeded and 3 when some did not.
    """
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; without it, `batchgate results ID` writes the results.")
    target = _check_output(output or _default_output(file.name)) if wait else None
    batch_id = asyncio.run(_submit(connection, file.fileno(), account, lane))
    say(batch_id, err=target == STANDARD_OUTPUT)
    if target is not None:
        progress = _finish(context, connection, batch_id, target)
        _report(context, progress, target)


async def _submit(connection: Connection, descriptor: int, account: str | None, lane: str | None) -> str:
    async with connection.client() as client:
        try:
            batch = await client.create(create_body(read_pieces(descriptor)), account=account, lane=lane)
        except ConnectionBroken as error:
            check = connection.command("list", "--limit", "1")
            raise CommandFailed(f"{error} The batch may have been created; check with: {check}") from error
    return batch.id


def _finish(context: click.Context, connection: Connection, batch_id: str, target: Path) -> BatchProgress:
    """Wait and write the results; if that stops early, print the command that gets them later."""
    later = (
        f"The batch continues on the gateway. Its results, when it has ended: {connection.command('results', batch_id)}"
    )
    try:
        return asyncio.run(_wait_and_write(connection, batch_id, target))
    except KeyboardInterrupt:
        say(f"Stopped waiting. {later}", err=True)
        context.exit(INTERRUPTED_STATUS)
    except CommandFailed as error:
        raise CommandFailed(f"{error}\n{later}") from error


async def _wait_and_write(connection: Connection, batch_id: str, target: Path) -> BatchProgress:
    async with connection.client() as client:
        progress = await wait_until_ended(client, batch_id)
        await write_results(client, batch_id, target)
    return progress


def _report(context: click.Context, progress: BatchProgress, target: Path) -> None:
    place = "" if target == STANDARD_OUTPUT else f" Results: {target}"
    failed = progress.total - progress.succeeded
    if not failed:
        say(f"All {progress.total} requests succeeded.{place}", err=True)
        return
    say(f"{failed} of {progress.total} requests did not succeed: {outcome(progress)}.{place}", err=True)
    context.exit(INCOMPLETE_STATUS)


def _default_output(name: str) -> Path:
    return STANDARD_OUTPUT if name == "<stdin>" else Path(name).with_suffix(RESULTS_SUFFIX)


def _check_output(target: Path) -> Path:
    """Refuse a missing output folder before any request is paid for."""
    if target != STANDARD_OUTPUT and not target.parent.is_dir():
        raise click.UsageError(f"{target}: the folder {target.parent} does not exist.")
    return target
