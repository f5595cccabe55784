"""``batchgate list``, ``show`` and ``cancel``: commands for existing batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, get_args

import click

from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.metadata_option import metadata_option
from batchgate.cli.rendering import TERMINAL_HEADINGS, TERMINAL_NUMBERS, details, heading, table_row, terminal_cells
from batchgate.cli.run_report import print_failures
from batchgate.cli.terminal_table import is_terminal, print_facts, print_table
from batchgate.cli.terminal_text import say
from batchgate.engine.model.batch import BatchStatus
from batchgate_api.gateway import BatchSummary

LARGEST_PAGE: Final = 1000
LARGEST_LIST: Final = 10**9
"""Batches of a list without a limit."""
PAGE: Final = 100
"""Batches per call."""

as_json_option = json_option("Print the JSON of the API.")


@click.command("list")
@click.option(
    "--limit", type=click.IntRange(1, LARGEST_PAGE), default=20, show_default=True, help="Maximum number of batches."
)
@click.option("--all", "everything", is_flag=True, help="List all batches; ignores --limit.")
@json_option("Print JSON, one batch a line.")
@click.option("--name", help="Only batches with this name.")
@metadata_option("Only batches whose metadata has this pair; may be repeated.")
@click.option("--status", type=click.Choice(get_args(BatchStatus)), help="Only batches with this status.")
@click.option("--model", help="Only batches whose requests all have this model.")
@click.option("--account", metavar="NAME", help="Only batches with requests for this account or provider.")
@click.option("--created-after", metavar="TIME", help="Only batches from this time on, such as 2026-10-21T07:28:00Z.")
@click.option("--created-before", metavar="TIME", help="Only batches from before this time.")
@connected
def list_command(
    connection: Connection,
    limit: int,
    *,
    everything: bool,
    as_json: bool,
    name: str | None,
    metadata: str | None,
    status: str | None,
    model: str | None,
    account: str | None,
    created_after: str | None,
    created_before: str | None,
) -> None:
    """List batches of every API, newest first, with counts that are updated as results arrive."""
    filters = {"name": name, "metadata": metadata, "status": status, "model": model, "account": account}
    filters |= {"created_after": created_after, "created_before": created_before}
    asyncio.run(_list(connection, LARGEST_LIST if everything else limit, filters, as_json=as_json))


@click.command("show")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def show_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Show the status, the counts and the times of the batch ID, and why requests failed."""
    asyncio.run(_show(connection, batch_id, as_json=as_json))


@click.command("cancel")
@click.argument("batch_id", metavar="ID")
@as_json_option
@connected
def cancel_command(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    """Cancel the batch ID. Finished requests keep their results; the others end as canceled."""
    asyncio.run(_cancel(connection, batch_id, as_json=as_json))


async def _list(connection: Connection, limit: int, filters: Mapping[str, str | None], *, as_json: bool) -> None:
    """Print batches; a page may be short although there are more, so pages are read until there are enough."""
    async with connection.client() as client:
        page = await client.page(limit=min(limit, PAGE), filters=filters)
        if not page.data and page.next is None:
            say("No batch matches the filters." if any(filters.values()) else "There are no batches.", err=True)
            return
        show = _print_lines if as_json else _print_page if is_terminal() else _table_lines()
        while True:
            show(page.data)
            limit -= len(page.data)
            if page.next is None or limit <= 0:
                return
            page = await client.page(limit=min(limit, PAGE), after=page.next, filters=filters)


def _print_lines(batches: Sequence[BatchSummary]) -> None:
    for batch in batches:
        print_json(batch)


def _print_page(batches: Sequence[BatchSummary]) -> None:
    """Print a table for a terminal; each page has one of its own."""
    print_table(TERMINAL_HEADINGS, map(terminal_cells, batches), right=TERMINAL_NUMBERS, cut={"MODEL", "NAME"})


def _table_lines() -> Callable[[Sequence[BatchSummary]], None]:
    """Print the heading of a table whose columns have the same width on all pages, and return what prints rows."""
    say(heading())

    def show(batches: Sequence[BatchSummary]) -> None:
        for batch in batches:
            say(table_row(batch))

    return show


async def _show(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.find(batch_id)
        if as_json:
            print_json(batch)
            return
        progress = await client.progress(batch_id)
    print_facts(details(batch, progress))
    if progress.failures:
        say("")
    print_failures(progress.failures)


async def _cancel(connection: Connection, batch_id: str, *, as_json: bool) -> None:
    async with connection.client() as client:
        batch = await client.cancel(batch_id)
    if as_json:
        print_json(batch)
    elif batch.processing_status == "ended":
        say(f"{batch.id} has ended. Its results: {connection.command('results', batch.id)}")
    else:
        say(f"{batch.id} is canceling: requests in flight may still finish.")
