"""``batchgate delete``, and how several things are deleted: a refusal of one does not keep the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import click
from msgspec import Struct

from batchgate.cli.confirmation import confirm_deletion, yes_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.failures import GatewayRefused
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.terminal_text import say


@click.command("delete")
@click.argument("batch_ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@json_option("Print JSON, one line for each deleted batch.")
@connected
@click.pass_context
def delete_command(
    context: click.Context, connection: Connection, batch_ids: Sequence[str], *, yes: bool, as_json: bool
) -> None:
    """Delete ended batches for good, with their requests and results.

    A batch that runs has to be canceled first. The exit status is 1 if any was not deleted.
    """
    many = "1 batch with its" if len(batch_ids) == 1 else f"{len(batch_ids)} batches with their"
    confirm_deletion(f"{many} requests and results", yes=yes)
    if not asyncio.run(_delete(connection, batch_ids, as_json=as_json)):
        context.exit(1)


async def _delete(connection: Connection, batch_ids: Sequence[str], *, as_json: bool) -> bool:
    async with connection.client() as client:
        return await delete_each(batch_ids, client.delete, as_json=as_json)


async def delete_each(ids: Sequence[str], delete: Callable[[str], Awaitable[Struct]], *, as_json: bool = False) -> bool:
    """Delete what the ids name, and print each; return whether the gateway refused none."""
    all_deleted = True
    for given in ids:
        try:
            deleted = await delete(given)
        except GatewayRefused as error:
            all_deleted = False
            say(f"{given} is not deleted: {error}", err=True)
        else:
            if as_json:
                print_json(deleted)
            else:
                say(f"{given} is deleted.")
    return all_deleted
