"""``batchgate check``: says whether a gateway would start with the settings, and whether it could call its accounts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.terminal_table import print_table
from batchgate.cli.umask import restrict_umask
from batchgate.engine.model.errors import ConfigurationError
from batchgate.installation_check import Check, check_installation
from batchgate.settings import DEFAULT_FILE, load_settings

HEADINGS: Final = ("CHECK", "STATE", "RESULT")


class CheckReport(Struct, frozen=True, kw_only=True):
    """All checks, as JSON."""

    ok: bool
    """Whether none has failed."""
    checks: Sequence[Check]


@click.command("check")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with the settings ($BATCHGATE_CONFIG, or batchgate.toml if it exists).",
)
@click.option("--data-dir", metavar="FOLDER", help="Folder of the database (batchgate-data).")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ACCOUNT/MODEL",
    help="Call this model for one token, instead of listing the models of the account; may be repeated.",
)
@json_option("Print one line of JSON.")
@click.pass_context
def check_command(
    context: click.Context, config: Path | None, data_dir: str | None, models: Sequence[str], *, as_json: bool
) -> None:
    """Check settings, keys, storage, and each account with one small call, without starting a gateway.

    Nothing is changed, and a gateway may be running. The exit status is 1 if a check fails.
    """
    restrict_umask()
    checks = _checks(config, data_dir, _by_account(models))
    report = CheckReport(ok=all(check.state != "failed" for check in checks), checks=checks)
    if as_json:
        print_json(report)
    else:
        print_table(HEADINGS, [(check.name, check.state, check.message) for check in checks])
    if not report.ok:
        context.exit(1)


def _checks(config: Path | None, data_dir: str | None, models: Mapping[str, str]) -> Sequence[Check]:
    try:
        settings = load_settings(config, os.environ, data_dir=data_dir)
    except ConfigurationError as error:
        return [Check(name="settings", state="failed", message=str(error))]
    if unknown := models.keys() - settings.accounts.keys():
        known = ", ".join(settings.accounts) or "none"
        raise click.BadParameter(f"there is no account {min(unknown)!r}; accounts: {known}", param_hint="--model")
    message = f"{_source(config)} and the environment"
    read = Check(name="settings", state="ok", message=message)
    return [read, *asyncio.run(check_installation(settings, os.environ, models))]


def _by_account(models: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for given in models:
        account, slash, model = given.partition("/")
        if not (account and slash and model):
            raise click.BadParameter(f"{given!r} is not ACCOUNT/MODEL", param_hint="--model")
        found[account] = model
    return found


def _source(config: Path | None) -> str:
    """Return the name of the file that the settings come from."""
    if config is not None:
        return str(config)
    named = os.environ.get("BATCHGATE_CONFIG")
    return named or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else f"no {DEFAULT_FILE} in this folder")
