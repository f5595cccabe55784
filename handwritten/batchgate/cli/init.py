"""``batchgate init``: writes a first settings file, and makes one small call with it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import click
from msgspec import Struct, structs

from batchgate.accounts import SIMULATOR
from batchgate.cli.failures import CommandFailed
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.settings_template import FirstAccount, settings_text
from batchgate.cli.terminal_text import say
from batchgate.cli.umask import restrict_umask
from batchgate.installation_check import Check, check_accounts
from batchgate.providers.registry.providers import PROVIDERS, Provider
from batchgate.setting_names import near_provider
from batchgate.settings import DEFAULT_FILE, load_settings

SUGGESTED: Final = ("anthropic", "openai", "gemini", "openrouter", "ollama", "vllm", SIMULATOR)
"""The providers that the question names; all others are accepted too."""
PRIVATE: Final = 0o600


class Initialized(Struct, frozen=True, kw_only=True):
    """What was written, and how the call to the account ended."""

    config: str
    account: Check


@click.command("init")
@click.option("--provider", metavar="NAME", help="Provider or kind of server, such as openai, anthropic or vllm.")
@click.option("--key-env", metavar="NAME", help="Environment variable with the provider's key (PROVIDER_API_KEY).")
@click.option(
    "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File with the provider's key."
)
@click.option("--base-url", metavar="URL", help="URL of the server, for servers of your own.")
@click.option("--region", metavar="NAME", help="Region, for bedrock and vertex.")
@click.option("--model", help="Call this model for one token, instead of listing the provider's models.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_FILE,
    show_default=True,
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@json_option("Print one line of JSON: the file, and how the call to the account ended.")
@click.pass_context
def init_command(
    context: click.Context,
    *,
    provider: str | None,
    key_env: str | None,
    key_file: Path | None,
    base_url: str | None,
    region: str | None,
    model: str | None,
    config: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write batchgate.toml with a first provider account, and test it with one small call.

    Without the options it asks. A key that is typed in is not shown, and is kept in a file that only you can read.
    """
    restrict_umask()
    if config.exists() and not force:
        raise CommandFailed(f"{config} is there already. --force replaces it; `batchgate check` tests it.")
    if key_env is not None and key_file is not None:
        raise click.UsageError("Name the key once: with --key-env or with --key-file.")
    name = _provider(provider)
    account = FirstAccount(
        name=name,
        provider=name,
        base_url=base_url,
        region=region,
        api_key_env=key_env,
        api_key_file=None if key_file is None else str(key_file.resolve()),
    )
    if name != SIMULATOR:
        account = _completed(account, PROVIDERS[name], config.resolve().parent, force=force)
    _write(config, settings_text(account), force=force)
    if not as_json:
        say(f"{config} is written.")
    tested = _test(config, name, model)
    if as_json:
        print_json(Initialized(config=str(config), account=tested))
    else:
        _report(config, name, tested)
    if tested.state == "failed":
        context.exit(1)


def _report(config: Path, name: str, tested: Check) -> None:
    failed = tested.state == "failed"
    say(f"{name}: {tested.message}", err=failed)
    say(f"Correct {config}, then run: batchgate check" if failed else "Next: batchgate serve", err=failed)


def _provider(given: str | None) -> str:
    """Return the name of a provider that exists."""
    if given is None:
        _need_terminal("--provider", f"such as {', '.join(SUGGESTED)}")
        given = str(click.prompt(f"Provider ({', '.join(SUGGESTED)}, ...)", err=True)).strip()
    known = (*PROVIDERS, SIMULATOR)
    if given not in known:
        message = f"{given!r} is not one of {', '.join(known)}{near_provider(given, known)}"
        raise click.BadParameter(message, param_hint="--provider")
    return given


def _completed(account: FirstAccount, provider: Provider, folder: Path, *, force: bool) -> FirstAccount:
    """Ask for what the provider needs and no option has said."""
    base_url, region = account.base_url, account.region
    if provider.requires == "base_url" and base_url is None:
        _need_terminal("--base-url", f"such as {provider.base_url}")
        base_url = str(click.prompt("URL of the server", default=provider.base_url, err=True))
    if provider.has_regions and region is None:
        _need_terminal("--region", "such as us-east-1")
        region = str(click.prompt("Region", err=True))
    account = structs.replace(account, base_url=base_url, region=region)
    if account.api_key_env is not None or account.api_key_file is not None:
        return account
    return _with_key(account, folder, needs_key=provider.requires == "key" and base_url is None, force=force)


def _with_key(account: FirstAccount, folder: Path, *, needs_key: bool, force: bool) -> FirstAccount:
    """Take the key from the usual variable, or ask for it and keep it in a file."""
    variable = f"{account.provider.upper()}_API_KEY"
    if os.environ.get(variable):
        say(f"The key is the one in {variable}.", err=True)
        return structs.replace(account, api_key_env=variable)
    if not sys.stdin.isatty():
        if not needs_key:
            return account
        raise click.UsageError(f"Name the key with --key-env or --key-file, or set {variable}.")
    optional = "" if needs_key else ", or nothing if the server needs none"
    key = str(
        click.prompt(
            f"Key (it is not shown{optional})",
            hide_input=True,
            default=None if needs_key else "",
            show_default=False,
            err=True,
        )
    )
    if not (key := key.strip()):
        return account
    file = folder / f"{account.provider}.key"
    _write(file, key + "\n", force=force)
    say(f"The key is in {file}, which only you can read.", err=True)
    return structs.replace(account, api_key_file=str(file))


def _need_terminal(option: str, example: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"Without a terminal to ask on, {option} is needed, {example}.")


def _write(file: Path, text: str, *, force: bool) -> None:
    """Write a file that only its owner can read; raises `CommandFailed` if there is one, unless it may be replaced."""
    try:
        if force:
            file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise CommandFailed(f"{file} is there already. --force replaces it.") from error
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror or error}") from error


def _test(config: Path, name: str, model: str | None) -> Check:
    settings = load_settings(config, os.environ)
    alone = structs.replace(settings, accounts={name: settings.accounts[name]})
    (check,) = asyncio.run(check_accounts(alone, os.environ, {} if model is None else {name: model}))
    return check
