"""``batchgate secrets``: provider keys in the database, encrypted with a master key.

The commands open the database of the settings directly, with or without a running gateway.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import click

from batchgate.cli.failures import CommandFailed
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.terminal_table import print_table
from batchgate.cli.umask import restrict_umask
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.secret import MAX_VALUE_LENGTH, Secret
from batchgate.engine.model.times import rfc3339
from batchgate.engine.tenancy.secrets import Secrets
from batchgate.master_key import NEEDS_EXTRA
from batchgate.secret_access import opened_secrets
from batchgate.settings import Settings, load_settings
from batchgate_api import gateway

P = ParamSpec("P")
T = TypeVar("T")

HEADINGS: Final = ("NAME", "STORED", "REPLACED")
COLUMNS: Final = "{:<32}  {:<20}  {}"


def _with_settings(command: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Add the options --config and --data-dir to a command, which gets the settings."""

    @click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="TOML file with the settings ($BATCHGATE_CONFIG, or batchgate.toml if it exists).",
    )
    @click.option("--data-dir", metavar="FOLDER", help="Folder of the database (batchgate-data).")
    @wraps(command)
    def with_settings(*args: P.args, **options: P.kwargs) -> None:
        config, data_dir = options.pop("config"), options.pop("data_dir")
        restrict_umask()
        assert config is None or isinstance(config, Path)
        command(load_settings(config, os.environ, data_dir=data_dir), *args, **options)

    return with_settings


@click.group("secrets")
def secrets_command() -> None:
    """Store provider keys in the database, encrypted with a master key.

    An account uses one with `api_key_secret = "NAME"`. The master key is in $BATCHGATE_MASTER_KEY, or in the
    file of the setting master_key_file.
    """


@secrets_command.command("set")
@click.argument("name", metavar="NAME")
@_with_settings
def set_command(settings: Settings, name: str) -> None:
    """Store or replace the secret NAME, read from stdin or a prompt. Running gateways use the new value."""
    value = _value()
    _run(settings, lambda secrets: secrets.put(name, value))
    click.echo(f"{name} is stored.")


@secrets_command.command("list")
@json_option("Print JSON, one secret a line.")
@_with_settings
def list_command(settings: Settings, *, as_json: bool) -> None:
    """List the secrets with the times when they were stored and replaced."""
    stored = _run(settings, lambda secrets: secrets.list())
    if not as_json:
        print_table(HEADINGS, map(_row, stored), layout=COLUMNS)
        return
    for secret in stored:
        created_at, updated_at = rfc3339(secret.created_at), rfc3339(secret.updated_at)
        print_json(gateway.Secret(name=secret.name, created_at=created_at, updated_at=updated_at))


@secrets_command.command("delete")
@click.argument("name", metavar="NAME")
@_with_settings
def delete_command(settings: Settings, name: str) -> None:
    """Delete the secret NAME. A gateway with an account that uses it will not start."""
    _run(settings, lambda secrets: secrets.delete(name))
    click.echo(f"{name} is deleted.")


@secrets_command.command("reencrypt")
@_with_settings
def reencrypt_command(settings: Settings) -> None:
    """Encrypt every secret with the first master key; the other keys are not needed any more."""
    click.echo(f"{_run(settings, lambda secrets: secrets.reencrypt())} secrets are encrypted with the first key.")


@secrets_command.command("master-key")
def master_key_command() -> None:
    """Print a new master key. To replace a key, put the new one before the old one, and run `reencrypt`."""
    try:
        from batchgate.encryption.fernet import new_master_key  # noqa: PLC0415 - the extra may be missing
    except ImportError as error:
        raise ConfigurationError("batchgate secrets", NEEDS_EXTRA) from error
    click.echo(new_master_key())


def _run(settings: Settings, work: Callable[[Secrets], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened_secrets(settings, os.environ) as secrets:
            return await work(secrets)

    return asyncio.run(run())


def _value() -> str:
    """Read the value. It is never an argument, because other users see arguments and shells store them."""
    if sys.stdin.isatty():
        value: str = click.prompt("Value", hide_input=True, err=True)
        return value
    value = sys.stdin.read(MAX_VALUE_LENGTH + 2).strip()
    if not value:
        raise CommandFailed("No value: write it to stdin, or run the command in a terminal.")
    return value


def _row(secret: Secret) -> Sequence[str]:
    times = (datetime.fromtimestamp(at // MICROSECONDS, UTC) for at in (secret.created_at, secret.updated_at))
    return (secret.name, *(f"{time:%Y-%m-%d %H:%M:%SZ}" for time in times))
