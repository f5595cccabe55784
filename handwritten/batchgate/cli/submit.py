"""``batchgate submit``: creates a batch from a file, and with --wait writes its results to a file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final, get_args

import click

from batchgate.cli.connection import Connection, connected, header_value
from batchgate.cli.failures import CommandFailed, ConnectionBroken
from batchgate.cli.metadata_option import metadata_option
from batchgate.cli.submission import create_body, read_pieces
from batchgate.cli.terminal_text import say
from batchgate.cli.validate import show_validation
from batchgate.cli.wait import check_output, finish
from batchgate.cli.waiting import STANDARD_OUTPUT
from batchgate.engine.model.concurrency_cap import MAX_CONCURRENCY
from batchgate.engine.model.fail_fast import MAX_FAIL_FAST
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.priority import Priority

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
@click.option("--name", callback=header_value, help="Give the batch a name, to find it again.")
@metadata_option("Give the batch a key-value pair; may be repeated.")
@click.option(
    "--priority",
    type=click.Choice(get_args(Priority)),
    help="Which share of your calls it gets beside your other batches (normal).",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, MAX_CONCURRENCY),
    metavar="N",
    help="Let at most N calls of the batch be in flight (without it, only the limits of the account bound them).",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Pause the batch once its answers have cost so much, in US dollars.",
)
@click.option(
    "--fail-fast",
    type=click.IntRange(0, MAX_FAIL_FAST),
    metavar="N",
    help="Pause the batch once its first N results for one model are the same permanent error; 0 for never "
    "(without it, the gateway decides).",
)
@click.option(
    "--reuse",
    metavar="BATCH_ID",
    callback=header_value,
    help="Take over the results of this ended batch where requests are equal and succeeded there; run the others.",
)
@click.option(
    "--webhook", metavar="URL", callback=header_value, help="Send the events of this batch to an https URL, signed."
)
@click.option(
    "--dry-run", is_flag=True, help="Create no batch: check the file and estimate the batch, as `validate` does."
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
    name: str | None,
    metadata: str | None,
    priority: str | None,
    concurrency: int | None,
    budget: float | None,
    fail_fast: int | None,
    reuse: str | None,
    webhook: str | None,
    dry_run: bool,
) -> None:
    """Submit FILE as a batch and print its id.

    FILE is JSON, {"requests": [{"custom_id": ..., "params": {...}}, ...]}, or JSONL with one such request a line, or -
    for stdin. The params are those of the Messages API.

    With --wait the exit status is 0 when all requests succeeded and 3 when some did not. With --dry-run it is 3 when
    the file has errors.
    """
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; without it, `batchgate results ID` writes the results.")
    if dry_run and wait:
        raise click.UsageError("--dry-run creates no batch to --wait for.")
    if dry_run and reuse is not None:
        raise click.UsageError("--dry-run reads no other batch; leave out --reuse to see what all requests would need.")
    if dry_run:
        show_validation(context, connection, file, account=account, lane=lane)
        return
    target = check_output(output or _default_output(file.name)) if wait else None
    asked = {
        "x-model-provider": account,
        "batchgate-lane": lane,
        "batchgate-name": name,
        "batchgate-metadata": metadata,
        "batchgate-priority": priority,
        "batchgate-concurrency": None if concurrency is None else str(concurrency),
        "batchgate-budget-usd": None if budget is None else str(budget),
        "batchgate-fail-fast": None if fail_fast is None else str(fail_fast),
        "batchgate-reuse": reuse,
        "batchgate-webhook-url": webhook,
    }
    batch_id = asyncio.run(_submit(connection, file.fileno(), asked))
    say(batch_id, err=target == STANDARD_OUTPUT)
    if target is not None:
        finish(context, connection, batch_id, target)


async def _submit(connection: Connection, descriptor: int, asked: Mapping[str, str | None]) -> str:
    async with connection.client() as client:
        try:
            batch = await client.create(create_body(read_pieces(descriptor)), asked)
        except ConnectionBroken as error:
            check = connection.command("list", "--limit", "1")
            raise CommandFailed(f"{error} The batch may have been created; check with: {check}") from error
    return batch.id


def _default_output(name: str) -> Path:
    return STANDARD_OUTPUT if name == "<stdin>" else Path(name).with_suffix(RESULTS_SUFFIX)
