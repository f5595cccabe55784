"""``batchgate list``, ``show``, ``cancel`` and ``results``: commands for existing batches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from batchgate.cli.connection import Connection, connected
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.rendering import details, heading, print_json, table_row
from batchgate.cli.terminal_text import say
from batchgate.cli.waiting import STANDARD_OUTPUT, write_results
from batchgate_api.anthropic import MessageBatch, MessageBatchPage

LARGEST_PAGE: Final = 1000
PAGE: Final = 100
"""Batches per call when all are listed."""

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the JSON of the API.")


@click.command("list")
@click.option(
    "--limit", type=click.IntRange(1, LARGEST_PAGE), default=20, show_default=True, help="Maximum number of batches."
)
@click.option("--all", "everything", is_flag=True, help="List all batches; ignores --limit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one batch a line.")
@connected
def list_command(connection: Connection, limit: int, *, everything: bool, as_json: bool) -> None:
    """List batches, newest first."""
    asyncio.run(_list(connection, limit=None if everything else limit, as_json=as_json))


@click.command("show")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def show_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Show the status, the counts and the times of the batch ID."""
    asyncio.run(_show(connection, batch_id, as_json=as_json))


@click.command("cancel")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def cancel_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Cancel the batch ID. Finished requests keep their results; the others end as canceled."""
    asyncio.run(_cancel(connection, batch_id, as_json=as_json))


@click.command("results")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    default=STANDARD_OUTPUT,
    help="Write the results to this file (stdout). The file appears when it is complete.",
)
@connected
def results_command(connection: Connection, batch_id: str, output: Path) -> None:
    """Download the results of the ended batch ID as JSONL, in the order of submission."""
    asyncio.run(_results(connection, batch_id, output))


async def _list(connection: Connection, *, limit: int | None, as_json: bool) -> None:
    async with connection.client() as client:
        page = await client.page(limit=limit or PAGE)
        if not as_json:
            say(heading())
        await _print(client, page, as_json=as_json)
        while limit is None and page.has_more:
            page = await client.page(limit=PAGE, after=page.last_id)
            await _print(client, page, as_json=as_json)


async def _print(client: GatewayClient, page: MessageBatchPage, *, as_json: bool) -> None:
    for batch in page.data:
        if as_json:
            print_json(batch)
        else:
            say(table_row(batch, paused=await _is_paused(client, batch)))


async def _is_paused(client: GatewayClient, batch: MessageBatch) -> bool:
    return batch.processing_status != "ended" and (await client.progress(batch.id)).paused is not None


async def _show(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.find(batch_id)
        if as_json:
            print_json(batch)
            return
        for line in details(batch, await client.progress(batch_id)):
            say(line)


async def _cancel(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.cancel(batch_id)
    if as_json:
        print_json(batch)
    elif batch.processing_status == "ended":
        say(f"{batch.id} has ended. Its results: {connection.command('results', batch.id)}")
    else:
        say(f"{batch.id} is canceling: requests in flight may still finish.")


async def _results(connection: Connection, batch_id: str, output: Path) -> None:
    async with connection.client() as client:
        await write_results(client, batch_id, output)
