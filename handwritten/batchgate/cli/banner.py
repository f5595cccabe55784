"""The banner that a process prints on stdout once it is ready: text, or one JSON object if the log format is JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import click
import msgspec
from msgspec import UNSET, Struct, UnsetType

from batchgate import __version__
from batchgate.account_settings import AccountSettings
from batchgate.accounts import default_account
from batchgate.blobs import blob_location
from batchgate.settings import Settings

NO_ACCOUNT: Final = """\
none configured. Set ANTHROPIC_API_KEY, OPENAI_API_KEY, OLLAMA_HOST or VLLM_BASE_URL,
            or write [accounts.NAME] in batchgate.toml; `batchgate demo` needs no key."""


class Banner(Struct, frozen=True, kw_only=True):
    """The banner as JSON. It has the fields of a JSON log line, because some setups merge stdout and stderr."""

    time: str
    level: Literal["info"] = "info"
    logger: str = __name__
    action: Literal["ready"] = "ready"
    message: str
    version: str = __version__
    url: str | UnsetType = UNSET
    """The URL that the process listens on, if any."""
    anthropic_base_url: str | UnsetType = UNSET
    openai_base_url: str | UnsetType = UNSET
    accounts: dict[str, str]
    """The provider of each account, by account name."""
    data: str | UnsetType = UNSET
    """The data folder, if the database is in it."""
    bodies: str
    database: str | UnsetType = UNSET
    """The shared database, without user name and password."""


def announce_gateway(settings: Settings, url: str) -> None:
    """Print URLs, accounts and storage of the gateway; the first line ends with the URL, for programs that wait."""
    base_urls = {"anthropic_base_url": f"{url}/anthropic", "openai_base_url": f"{url}/openai/v1"}
    _print(settings, msgspec.structs.replace(_banner(settings, f"listens on {url}", url), **base_urls))


def announce_worker(settings: Settings, url: str) -> None:
    """Print the worker's accounts and storage; the first line appears when the worker is ready."""
    _print(settings, _banner(settings, f"runs batches, listens on {url}" if url else "runs batches", url))


def _banner(settings: Settings, does: str, url: str) -> Banner:
    place = settings.database_display
    return Banner(
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        message=f"Batchgate {__version__} {does}",
        url=url or UNSET,
        accounts={name: account.provider for name, account in settings.accounts.items()},
        data=str(Path(settings.data_dir).resolve()) if place is None else UNSET,
        bodies=blob_location(settings.blob_url, Path(settings.data_dir)),
        database=UNSET if place is None else place,
    )


def _print(settings: Settings, banner: Banner) -> None:
    if settings.log_format == "json":
        click.echo(msgspec.json.encode(banner))
        return
    accounts = ", ".join(_account(name, account) for name, account in settings.accounts.items())
    facts = (
        ("SDKs", _constructor("anthropic.Anthropic", banner.anthropic_base_url)),
        ("", _constructor("openai.OpenAI", banner.openai_base_url)),
        ("Browser", UNSET if banner.anthropic_base_url is UNSET else f"{banner.url}/"),
        ("Accounts", accounts or NO_ACCOUNT),
        ("Default", _default(settings)),
        ("Data", banner.data),
        ("Files", banner.bodies),
        ("Database", banner.database),
    )
    click.echo("\n".join([banner.message, *(f"  {name:<8}  {fact}" for name, fact in facts if fact is not UNSET)]))


def _constructor(name: str, base_url: str | UnsetType) -> str | UnsetType:
    return UNSET if base_url is UNSET else f'{name}(base_url="{base_url}")'


def _default(settings: Settings) -> str | UnsetType:
    """Say that requests have to name an account, if none of several is the default."""
    if len(settings.accounts) < 2 or default_account(settings) in settings.accounts:
        return UNSET
    example = next(iter(settings.accounts))
    return f"none: name an account in each model, such as {example}/MODEL, or set default_provider"


def _account(name: str, account: AccountSettings) -> str:
    return name if name == account.provider else f"{name} ({account.provider})"
