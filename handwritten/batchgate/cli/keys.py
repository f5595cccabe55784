"""``batchgate keys``: API keys of callers. A new key is the only output on stdout, so that it can be piped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
from msgspec import UNSET

from batchgate.cli.batches import as_json_option
from batchgate.cli.connection import Connection, connected
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.money import read_money
from batchgate.cli.rendering import dollars, moment
from batchgate.cli.tenant_client import TenantClient
from batchgate.cli.terminal_table import print_table
from batchgate.cli.terminal_text import say
from batchgate.engine.model.api_key import DEFAULT_SCOPES, DEFAULT_WORKSPACE, SCOPES, Scope
from batchgate_api.gateway import CreatedKey, CreateKey, Key

DAY: Final = 24 * 60 * 60
HEADINGS: Final = ("ID", "NAME", "SCOPES", "HINT", "LAST USED", "MONTHLY BUDGET", "STATE")
LAYOUT: Final = "{:<30}  {:<20}  {:<18}  {:<5}  {:<20}  {:<18}  {}"

workspace_option = click.option(
    "--workspace", metavar="NAME", default=DEFAULT_WORKSPACE, show_default=True, help="The workspace of the key."
)


@click.group("keys")
def keys_command() -> None:
    """Manage the API keys of callers. The caller's own key needs the scope admin.

    A gateway without keys serves every caller on its machine. Its first key must have the scope admin.
    """


@keys_command.command("create")
@click.argument("name", metavar="NAME")
@workspace_option
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=DEFAULT_SCOPES,
    show_default=True,
    help="Scope of the key; repeat the option for several. No scope implies another.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="Days until the key expires (never).")
@click.option(
    "--monthly-budget",
    "budget",
    metavar="DOLLARS",
    type=click.FloatRange(min=0.000001, max=1_000_000_000),
    help="What the answers of a month (UTC) may cost before the key's batches are paused.",
)
@as_json_option
@connected
def create_command(
    connection: Connection,
    /,
    *,
    name: str,
    workspace: str,
    scopes: tuple[Scope, ...],
    days: int | None,
    budget: float | None,
    as_json: bool,
) -> None:
    """Create the key NAME and print it. It is not shown again."""
    lifetime = UNSET if days is None else days * DAY
    monthly_budget = UNSET if budget is None else budget
    options = CreateKey(name=name, scopes=list(scopes), expires_in_seconds=lifetime, monthly_budget_usd=monthly_budget)

    async def run() -> CreatedKey:
        async with connection.client() as client:
            return await TenantClient(client).create_key(workspace, options)

    _print_key(asyncio.run(run()), as_json=as_json)


@keys_command.command("list")
@workspace_option
@json_option("Print JSON, one key a line.")
@connected
def list_command(connection: Connection, workspace: str, *, as_json: bool) -> None:
    """List the keys of a workspace, newest first."""

    async def read() -> Sequence[Key]:
        async with connection.client() as client:
            return [key async for key in TenantClient(client).keys(workspace)]

    keys = asyncio.run(read())
    if not as_json:
        print_table(HEADINGS, map(_row, keys), layout=LAYOUT)
        return
    for key in keys:
        print_json(key)


@keys_command.command("budget")
@click.argument("key_id", metavar="ID")
@click.option(
    "--usd",
    "amount",
    metavar="DOLLARS",
    required=True,
    callback=read_money,
    help="What the answers of a month (UTC) may cost; none for any amount.",
)
@as_json_option
@connected
def budget_command(connection: Connection, key_id: str, amount: float | None, *, as_json: bool) -> None:
    """Change the monthly budget of the key ID, and of all keys of its name. Resume batches that were paused for it."""

    async def run() -> Key:
        async with connection.client() as client:
            return await TenantClient(client).update_key(key_id, amount)

    key = asyncio.run(run())
    if as_json:
        print_json(key)
    else:
        say(f"{key.id} ({key.name}), monthly budget: {_budget(key)}.")


@keys_command.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.IntRange(0, 30 * DAY),
    default=0,
    show_default=True,
    help="Seconds for which the old key stays valid.",
)
@as_json_option
@connected
def rotate_command(connection: Connection, key_id: str, grace: int, *, as_json: bool) -> None:
    """Replace the key ID by a new key with the same name, scopes and lifetime, and print it. It is not shown again."""

    async def run() -> CreatedKey:
        async with connection.client() as client:
            return await TenantClient(client).rotate_key(key_id, grace)

    _print_key(asyncio.run(run()), as_json=as_json)


@keys_command.command("revoke")
@click.argument("key_id", metavar="ID")
@as_json_option
@connected
def revoke_command(connection: Connection, key_id: str, *, as_json: bool) -> None:
    """Revoke the key ID; takes effect on every gateway within two seconds."""

    async def run() -> Key:
        async with connection.client() as client:
            return await TenantClient(client).revoke_key(key_id)

    key = asyncio.run(run())
    if as_json:
        print_json(key)
    else:
        say(f"{key.id} ({key.name}) is revoked.")


def _print_key(key: CreatedKey, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    scopes = ", ".join(key.scopes)
    say(f"{key.id} ({key.name}), workspace {key.workspace}, scopes {scopes}. Not shown again:", err=True)
    say(key.key)


def _row(key: Key) -> Sequence[str]:
    used = "never" if key.last_used_at is None else moment(key.last_used_at)
    return (key.id, key.name, ",".join(key.scopes), key.hint, used, _budget(key), _state(key))


def _budget(key: Key) -> str:
    """Show what is spent of a budget."""
    if key.monthly_budget_usd is None or key.monthly_spend_usd is None:
        return "none"
    return f"{dollars(key.monthly_spend_usd)} of {dollars(key.monthly_budget_usd)}"


def _state(key: Key) -> str:
    """Describe whether a key is valid now, and when that ends or ended.

    A key that was rotated with a grace period is revoked at a future time; the earlier of that and its expiry counts.
    """
    now = datetime.now(UTC)
    ends = [(at, word) for at, word in ((key.revoked_at, "revoked"), (key.expires_at, "expired")) if at is not None]
    if not ends:
        return "valid"
    at, word = min(ends, key=lambda end: datetime.fromisoformat(end[0]))
    if datetime.fromisoformat(at) <= now:
        return f"{word} {moment(at)}"
    return f"{'replaced, valid until' if word == 'revoked' else 'expires'} {moment(at)}"
