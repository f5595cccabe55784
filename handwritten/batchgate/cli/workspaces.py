"""``batchgate workspaces``: the tenants of a gateway, and what each may use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import click

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.rendering import moment, print_json
from batchgate.cli.tenant_client import TenantClient, named
from batchgate_api.gateway import Workspace

C = TypeVar("C", bound=Callable[..., object])

NAME_WIDTH: Final = 24
LIFTED: Final = "none"
"""What lifts a quota."""


def count(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    """Read a whole number, or ``none``."""
    if value is None or value == LIFTED:
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"it must be a whole number, or {LIFTED}")
    return int(value)


def money(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | str | None:
    """Read an amount, or ``none``."""
    if value is None or value == LIFTED:
        return value
    try:
        return float(value)
    except ValueError as error:
        raise click.BadParameter(f"it must be an amount such as 99.50, or {LIFTED}") from error


def quota_options(command: C) -> C:
    """Give a command an option for each quota; the gateway says what they may be."""
    for name, read, text in (
        ("--monthly-spend-usd", money, "The most that answers may cost in a calendar month."),
        ("--stored-bytes", count, "The most bytes of inputs, results and uploaded files."),
        ("--concurrent-batches", count, "The most batches that have not ended."),
        ("--queued-requests", count, "The most requests without a result, of these batches."),
    ):
        command = click.option(name, metavar=f"N|{LIFTED}", callback=read, help=text)(command)
    return command


@click.group("workspaces")
def workspaces_command() -> None:
    """Manage workspaces, the tenants of a gateway. The key needs the scope admin."""


@workspaces_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one workspace a line.")
@connected
def list_command(connection: Connection, *, as_json: bool) -> None:
    """List the workspaces by name."""

    async def run() -> None:
        async with connection.client() as client:
            if not as_json:
                click.echo(f"{'NAME':<{NAME_WIDTH}}  CREATED")
            async for workspace in TenantClient(client).workspaces():
                if as_json:
                    print_json(workspace)
                else:
                    click.echo(f"{workspace.name:<{NAME_WIDTH}}  {moment(workspace.created_at)}")

    asyncio.run(run())


@workspaces_command.command("create")
@click.argument("name", metavar="NAME")
@quota_options
@as_json_option
@connected
def create_command(connection: Connection, /, name: str, *, as_json: bool, **quotas: object) -> None:
    """Create the workspace NAME."""

    async def run() -> Workspace:
        async with connection.client() as client:
            return await TenantClient(client).create_workspace(name, named(quotas))

    _show(asyncio.run(run()), as_json=as_json)


@workspaces_command.command("show")
@click.argument("name", metavar="NAME")
@as_json_option
@connected
def show_command(connection: Connection, name: str, *, as_json: bool) -> None:
    """Show what the workspace NAME may use, and uses."""

    async def run() -> Workspace:
        async with connection.client() as client:
            return await TenantClient(client).workspace(name)

    _show(asyncio.run(run()), as_json=as_json)


@workspaces_command.command("update")
@click.argument("name", metavar="NAME")
@quota_options
@as_json_option
@connected
def update_command(connection: Connection, /, name: str, *, as_json: bool, **quotas: object) -> None:
    """Change what the workspace NAME may use; `none` lifts a quota, those that are not named stay."""

    async def run() -> Workspace:
        async with connection.client() as client:
            return await TenantClient(client).update_workspace(name, named(quotas))

    _show(asyncio.run(run()), as_json=as_json)


@workspaces_command.command("archive")
@click.argument("name", metavar="NAME")
@as_json_option
@connected
def archive_command(connection: Connection, name: str, *, as_json: bool) -> None:
    """Take the empty workspace NAME out of use; its name is not given again."""

    async def run() -> None:
        async with connection.client() as client:
            archived = await TenantClient(client).archive_workspace(name)
        if as_json:
            print_json(archived)
        else:
            click.echo(f"Workspace {name} is archived.")

    asyncio.run(run())


def _show(workspace: Workspace, *, as_json: bool) -> None:
    if as_json:
        print_json(workspace)
        return
    click.echo(f"{'Workspace':<20}{workspace.name}")
    click.echo(f"{'Created':<20}{moment(workspace.created_at)}")
    for field in workspace.quotas.__struct_fields__:
        limit, used = getattr(workspace.quotas, field), getattr(workspace.use, field, 0)
        of = "no limit" if limit is None else f"of {limit:,}"
        click.echo(f"{field.replace('_', ' ').replace('usd', 'USD').capitalize():<20}{used:,} ({of})")
