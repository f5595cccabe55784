"""``batchgate files``: the uploaded files of all APIs, and the files of results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import click

from batchgate.cli.batches import LARGEST_LIST, as_json_option
from batchgate.cli.confirmation import confirm_deletion, yes_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.deletion import delete_each
from batchgate.cli.file_client import FileClient
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.listing_group import ListingGroup
from batchgate.cli.output_file import STANDARD_OUTPUT, check_output, output_file
from batchgate.cli.terminal_table import print_facts, print_table
from batchgate.cli.terminal_text import say
from batchgate_api.openai import FileObject

T = TypeVar("T")

HEADINGS: Final = ("ID", "CREATED", "BYTES", "PURPOSE", "NAME")


@click.group("files", cls=ListingGroup)
def files_command() -> None:
    """Show, download and delete uploaded files and files of results; without a command, list them."""


@files_command.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of files.")
@click.option("--all", "everything", is_flag=True, help="List all files; ignores --limit.")
@click.option("--account", metavar="NAME", help="Only files that were uploaded for this account or provider.")
@click.option("--purpose", help="Only files with this purpose, such as batch or batch_output.")
@json_option("Print JSON, one file a line.")
@connected
def list_command(
    connection: Connection, limit: int, *, everything: bool, account: str | None, purpose: str | None, as_json: bool
) -> None:
    """List the files of every API, newest first."""
    filters = {"provider": account, "purpose": purpose}
    files = _run(connection, lambda client: _read(client, LARGEST_LIST if everything else limit, filters))
    if as_json:
        for file in files:
            print_json(file)
    elif files:
        print_table(HEADINGS, map(_row, files), right={"BYTES"})
    else:
        say("No file matches the filters." if any(filters.values()) else "There are no files.", err=True)


@files_command.command("show")
@click.argument("file_id", metavar="ID")
@as_json_option
@connected
def show_command(connection: Connection, file_id: str, *, as_json: bool) -> None:
    """Show name, size, purpose and status of the file ID."""
    file = _run(connection, lambda client: client.file(file_id))
    if as_json:
        print_json(file)
        return
    facts = (
        ("File", file.id),
        ("Name", file.filename),
        ("Bytes", f"{file.bytes:,}"),
        ("Purpose", file.purpose),
        ("Status", file.status),
        ("Created", _moment(file.created_at)),
        ("Expires", None if file.expires_at is None else _moment(file.expires_at)),
    )
    print_facts((name, text) for name, text in facts if text is not None)


@files_command.command("download")
@click.argument("file_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    default=STANDARD_OUTPUT,
    help="Write the content to this file (stdout). The file appears when it is complete.",
)
@connected
def download_command(connection: Connection, file_id: str, *, output: Path) -> None:
    """Download the content of the file ID, unchanged."""
    target = check_output(output)
    _run(connection, lambda client: _download(client, file_id, target))


@files_command.command("delete")
@click.argument("file_ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@json_option("Print JSON, one line for each deleted file.")
@connected
@click.pass_context
def delete_command(
    context: click.Context, connection: Connection, file_ids: Sequence[str], *, yes: bool, as_json: bool
) -> None:
    """Delete files and their content for good. Batches that were made of them keep their requests."""
    confirm_deletion(f"{len(file_ids)} file{'' if len(file_ids) == 1 else 's'}", yes=yes)
    if not _run(connection, lambda client: delete_each(file_ids, client.delete, as_json=as_json)):
        context.exit(1)


async def _read(client: FileClient, limit: int, filters: Mapping[str, str | None]) -> Sequence[FileObject]:
    return [file async for file in client.files(limit, filters)]


async def _download(client: FileClient, file_id: str, target: Path) -> None:
    with output_file(target) as written:
        async with aclosing(client.content(file_id)) as pieces:
            async for piece in pieces:
                written.write(piece)


def _run(connection: Connection, call: Callable[[FileClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with connection.client() as client:
            return await call(FileClient(client))

    return asyncio.run(run())


def _row(file: FileObject) -> Sequence[str]:
    return (file.id, _moment(file.created_at), f"{file.bytes:,}", file.purpose, file.filename)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
