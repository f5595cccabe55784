"""``batchgate watch``: shows the progress of one batch until it has ended, or of all batches until it is stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TypeAlias

import click

from batchgate.cli.batch_lines import BatchLines
from batchgate.cli.connection import Connection, connected
from batchgate.cli.event_reader import BatchEvent, follow
from batchgate.cli.failures import INTERRUPTED_STATUS
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.minute_lines import lines_each_minute
from batchgate.cli.progress_bar import Draw, progress_bars
from batchgate.cli.terminal_text import say
from batchgate.cli.wait import finish
from batchgate.cli.waiting import read_progress
from batchgate_api.gateway import BatchProgress, BatchSummary

Show: TypeAlias = Callable[[BatchEvent], None]


@click.command("watch")
@click.argument("batch_id", metavar="[ID]", required=False)
@json_option("Print the events as JSON, one a line.")
@connected
@click.pass_context
def watch_command(context: click.Context, connection: Connection, batch_id: str | None, *, as_json: bool) -> None:
    """Show the progress of the batch ID until it has ended, or without ID of all unfinished batches until Ctrl-C.

    On a terminal this is one line; otherwise a line when a batch changes its status or is paused, and once a minute.
    With ID, the end is reported as by `wait`, with the same exit status.
    """
    if batch_id is not None:
        finish(context, connection, batch_id, None, partial(_watch_one, as_json=as_json))
        return
    try:
        asyncio.run(_watch_all(connection, as_json=as_json))
    except KeyboardInterrupt:
        context.exit(INTERRUPTED_STATUS)


async def _watch_one(client: GatewayClient, batch_id: str, *, as_json: bool) -> BatchProgress:
    async with _display(client, as_json=as_json) as show, aclosing(follow(client, batch_id)) as events:
        async for event in events:
            show(event)
            if isinstance(event.data, BatchSummary) and event.data.ended_at is not None:
                break
    return await read_progress(client, batch_id)


async def _watch_all(connection: Connection, *, as_json: bool) -> None:
    async with (
        connection.client() as client,
        _display(client, as_json=as_json) as show,
        aclosing(follow(client, None)) as events,
    ):
        async for event in events:
            show(event)


@asynccontextmanager
async def _display(client: GatewayClient, *, as_json: bool) -> AsyncIterator[Show]:
    """Yield what shows an event: as JSON, in the bars of a terminal, or in lines."""
    lines = BatchLines(client.command)
    if as_json:
        yield print_json
    elif sys.stdout.isatty():
        with progress_bars("Watching", sys.stdout) as draw:
            yield partial(_redraw, lines, draw)
    else:
        async with lines_each_minute(lines.all):
            yield partial(_say_change, lines)


def _say_change(lines: BatchLines, event: BatchEvent) -> None:
    line = lines.change(event.data) if isinstance(event.data, BatchSummary) else None
    if line is not None:
        say(line)


def _redraw(lines: BatchLines, draw: Draw, event: BatchEvent) -> None:
    """Draw the bars again; a change that matters goes above them."""
    if isinstance(event.data, BatchSummary):
        line = lines.change(event.data)
        if line is not None:
            say(line)
        draw([*lines.unfinished.values()] or [event.data])
