"""``batchgate workspaces``: tenants and their quotas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import click

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.rendering import moment
from batchgate.cli.tenant_client import TenantClient, quota_changes
from batchgate.cli.terminal_table import print_table
from batchgate.cli.terminal_text import say
from batchgate_api.gateway import Workspace

C = TypeVar("C", bound=Callable[..., object])

LAYOUT: Final = "{:<24}  {}"
NO_QUOTA: Final = "none"
"""Removes a quota."""


def count(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    """Read a whole number, or ``none``."""
    if value is None or value == NO_QUOTA:
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"it must be a whole number, or {NO_QUOTA}")
    return int(value)


def money(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | str | None:
    """Read an amount, or ``none``."""
    if value is None or value == NO_QUOTA:
        return value
    try:
        return float(value)
    except ValueError as error:
        raise click.BadParameter(f"it must be an amount such as 99.50, or {NO_QUOTA}") from error


def quota_options(command: C) -> C:
    """Add an option for each quota to a command; the gateway checks the values."""
    for name, read, text in (
        ("--monthly-spend-usd", money, "Maximum cost of answers in a calendar month, in US dollars."),
        ("--creates-per-minute", count, "Maximum number of batches and uploads that are accepted in a minute."),
        ("--files", count, "Maximum number of uploaded files."),
        ("--stored-bytes", count, "Maximum bytes of inputs, results and uploaded files."),
        ("--concurrent-batches", count, "Maximum number of batches that have not ended."),
        ("--queued-requests", count, "Maximum number of requests without a result."),
    ):
        command = click.option(name, metavar=f"N|{NO_QUOTA}", callback=read, help=text)(command)
    return command


@click.group("workspaces")
def workspaces_command() -> None:
    """Manage workspaces (tenants). The caller's key needs the scope admin."""


@workspaces_command.command("list")
@json_option("Print JSON, one workspace a line.")
@connected
def list_command(connection: Connection, *, as_json: bool) -> None:
    """List the workspaces by name."""

    async def read() -> Sequence[Workspace]:
        async with connection.client() as client:
            return [workspace async for workspace in TenantClient(client).workspaces()]

    workspaces = asyncio.run(read())
    if not as_json:
        rows = ((workspace.name, moment(workspace.created_at)) for workspace in workspaces)
        print_table(("NAME", "CREATED"), rows, layout=LAYOUT)
        return
    for workspace in workspaces:
        print_json(workspace)


@workspaces_command.command("create")
@click.argument("name", metavar="NAME")
@quota_options
@as_json_option
@connected
def create_command(connection: Connection, /, name: str, *, as_json: bool, **quotas: object) -> None:
    """Create the workspace NAME."""

    async def run() -> Workspace:
        async with connection.client() as client:
            return await TenantClient(client).create_workspace(name, quota_changes(quotas))

    _show(asyncio.run(run()), as_json=as_json)


@workspaces_command.command("show")
@click.argument("name", metavar="NAME")
@as_json_option
@connected
def show_command(connection: Connection, name: str, *, as_json: bool) -> None:
    """Show the quotas and the usage of the workspace NAME."""

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
    """Change quotas of the workspace NAME; `none` removes a quota, the others stay."""

    async def run() -> Workspace:
        async with connection.client() as client:
            return await TenantClient(client).update_workspace(name, quota_changes(quotas))

    _show(asyncio.run(run()), as_json=as_json)


@workspaces_command.command("archive")
@click.argument("name", metavar="NAME")
@as_json_option
@connected
def archive_command(connection: Connection, name: str, *, as_json: bool) -> None:
    """Archive the empty workspace NAME; its name cannot be used again."""

    async def run() -> None:
        async with connection.client() as client:
            archived = await TenantClient(client).archive_workspace(name)
        if as_json:
            print_json(archived)
        else:
            say(f"Workspace {name} is archived.")

    asyncio.run(run())


def _show(workspace: Workspace, *, as_json: bool) -> None:
    if as_json:
        print_json(workspace)
        return
    say(f"{'Workspace':<20}{workspace.name}")
    say(f"{'Created':<20}{moment(workspace.created_at)}")
    for field in workspace.quotas.__struct_fields__:
        limit, used = getattr(workspace.quotas, field), getattr(workspace.use, field, 0)
        of = "no limit" if limit is None else f"of {limit:,}"
        say(f"{field.replace('_', ' ').replace('usd', 'USD').capitalize():<20}{used:,} ({of})")
