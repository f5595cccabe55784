"""``batchgate list``, ``show``, ``cancel`` and ``results``: batches that were submitted before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from batchgate.cli.connection import Connection, connected
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.rendering import details, heading, print_json, table_row
from batchgate.cli.waiting import STANDARD_OUTPUT, write_results
from batchgate_api.anthropic import MessageBatch, MessageBatchPage

LARGEST_PAGE: Final = 1000
PAGE: Final = 100
"""How many batches are asked for at a time when all are listed."""

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API has it.")


@click.command("list")
@click.option(
    "--limit", type=click.IntRange(1, LARGEST_PAGE), default=20, show_default=True, help="Show at most so many batches."
)
@click.option("--all", "everything", is_flag=True, help="Show all batches, whatever the limit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one batch a line.")
@connected
def list_command(connection: Connection, limit: int, *, everything: bool, as_json: bool) -> None:
    """List batches, the newest first."""
    asyncio.run(_list(connection, limit=None if everything else limit, as_json=as_json))


@click.command("show")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def show_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Show the batch ID: how far it is, and when what happened to it."""
    asyncio.run(_show(connection, batch_id, as_json=as_json))


@click.command("cancel")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def cancel_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Stop the batch ID. What has finished keeps its results; the rest becomes canceled."""
    asyncio.run(_cancel(connection, batch_id, as_json=as_json))


@click.command("results")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    default=STANDARD_OUTPUT,
    help="Write them to this file, which is there once it is whole; else to stdout.",
)
@connected
def results_command(connection: Connection, batch_id: str, output: Path) -> None:
    """Download the results of the batch ID, once it has ended: JSON, one result a line, in the order of submission."""
    asyncio.run(_results(connection, batch_id, output))


async def _list(connection: Connection, *, limit: int | None, as_json: bool) -> None:
    async with connection.client() as client:
        page = await client.page(limit=limit or PAGE)
        if not as_json:
            click.echo(heading())
        await _print(client, page, as_json=as_json)
        while limit is None and page.has_more:
            page = await client.page(limit=PAGE, after=page.last_id)
            await _print(client, page, as_json=as_json)


async def _print(client: GatewayClient, page: MessageBatchPage, *, as_json: bool) -> None:
    for batch in page.data:
        if as_json:
            print_json(batch)
        else:
            click.echo(table_row(batch, paused=await _is_paused(client, batch)))


async def _is_paused(client: GatewayClient, batch: MessageBatch) -> bool:
    return batch.processing_status != "ended" and (await client.progress(batch.id)).paused is not None


async def _show(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.find(batch_id)
        if as_json:
            print_json(batch)
            return
        for line in details(batch, await client.progress(batch_id)):
            click.echo(line)


async def _cancel(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.cancel(batch_id)
    if as_json:
        print_json(batch)
    elif batch.processing_status == "ended":
        click.echo(f"{batch.id} has ended. Its results: {connection.command('results', batch.id)}")
    else:
        click.echo(f"{batch.id} is canceling: what is under way may still finish.")


async def _results(connection: Connection, batch_id: str, output: Path) -> None:
    async with connection.client() as client:
        await write_results(client, batch_id, output)
