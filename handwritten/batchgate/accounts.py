"""Builds the accounts from the settings, and chooses the account that runs a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import structs

from batchgate.api.provider_names import ProviderNames
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import ConfigurationError, RefusedError
from batchgate.engine.model.provider_call import Account, Price
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate.engine.ports.provider import Transport
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.providers.registry.model_names import is_part_of_model_name
from batchgate.providers.registry.providers import PROVIDER_NAMES, PROVIDERS, Provider
from batchgate.providers.responses.key_redaction import KeyRedactingHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.handler import SimulatorHandler
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import AccountSettings, PriceSettings, Settings, secret

SIMULATOR = "simulator"
DEFAULT = "anthropic"
FindBatches: TypeAlias = Callable[[str], ProviderBatches | None]
"""Returns the client of a provider's batch API by its name; None for a provider without one."""
ReadSecret: TypeAlias = Callable[[str, str], Awaitable[str]]
"""Reads a secret by name; the second argument is the setting that a `ConfigurationError` names."""

KEY_SETTINGS = ("api_key", "api_key_env", "api_key_file", "api_key_secret")


def endpoints(
    settings: Settings,
    transport: Transport,
    environment: Mapping[str, str],
    read_secret: ReadSecret,
    find_batches: FindBatches = lambda _: None,
) -> list[AccountEndpoint]:
    """Build the endpoints of all accounts; raises `ConfigurationError`.

    Keys in files and in the database are read when the engine starts.
    """
    is_model_part = _model_parts(settings)
    return [
        _endpoint(name, account, transport, environment, read_secret, partial(is_model_part, name), find_batches)
        for name, account in settings.accounts.items()
    ]


def default_account(settings: Settings) -> str:
    """Return the account for requests that name none; the documented default is anthropic, configured or not."""
    if settings.default_provider is not None:
        return settings.default_provider
    if DEFAULT not in settings.accounts and len(settings.accounts) == 1:
        return next(iter(settings.accounts))
    return DEFAULT


def account_chooser(settings: Settings, parameter: str, preferred: str | None = None) -> Callable[[str | None], str]:
    """Return a function that chooses the account of a batch from the value of ``parameter`` in its create.

    The value is the name of an account, or of a provider with a single account. Without a value, the function chooses
    the account ``preferred``, or the default account if there is none of that name. It raises `RefusedError` for other
    names.
    """
    default = preferred if preferred is not None and preferred in settings.accounts else default_account(settings)

    def choose(asked: str | None) -> str:
        if not settings.accounts:
            message = "no account is configured; set a provider's key, or [accounts] in the settings"
            raise RefusedError("invalid_request_error", message)
        return default if asked is None else _find_account(asked, settings.accounts, parameter)

    return choose


def provider_names(settings: Settings) -> ProviderNames:
    """Return the names that calls of the unified API may give for a provider."""
    only = next(iter(settings.accounts)) if len(settings.accounts) == 1 else None
    return ProviderNames(
        accounts={name: account.provider for name, account in settings.accounts.items()},
        default=settings.default_provider or only,
        documented=PROVIDER_NAMES,
        is_model_part=_model_parts(settings),
    )


def _model_parts(settings: Settings) -> Callable[[str, str], bool]:
    """Return the function that tells for an account whether a prefix belongs to the name of one of its models."""
    providers = {name: account.provider for name, account in settings.accounts.items()}

    def is_model_part(account: str, prefix: str) -> bool:
        return is_part_of_model_name(
            prefix, provider=providers[account], accounts=providers.keys(), providers=providers.values()
        )

    return is_model_part


def _find_account(asked: str, accounts: Mapping[str, AccountSettings], parameter: str) -> str:
    if asked in accounts:
        return asked
    meant = [name for name, account in accounts.items() if account.provider == asked]
    if len(meant) == 1:
        return meant[0]
    if meant:
        message = f"{parameter}: provider {asked} has several accounts; name one of {', '.join(meant)}"
    else:
        message = f"{parameter}: there is no account {asked!r}; configured: {', '.join(accounts)}"
    raise RefusedError("invalid_request_error", message, param=parameter)


def _endpoint(  # noqa: PLR0917
    name: str,
    given: AccountSettings,
    transport: Transport,
    environment: Mapping[str, str],
    read_secret: ReadSecret,
    is_model_part: Callable[[str], bool],
    find_batches: FindBatches,
) -> AccountEndpoint:
    account = Account(
        name=name,
        provider=given.provider,
        base_url="http://simulator",
        concurrency=given.concurrency,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
        timeout=given.timeout,
        lane=given.lane or "direct",
        enqueued_tokens=given.enqueued_tokens,
        prices={model: _price(price) for model, price in given.prices.items()},
    )
    if given.provider == SIMULATOR:
        simulator = SimulatorTransport(given.simulator)
        return AccountEndpoint(
            account=account,
            handler=SimulatorHandler(),
            transport=simulator,
            meter=UsageMeter(),
            is_model_part=is_model_part,
        )
    provider = PROVIDERS.get(given.provider)
    if provider is None:
        known = ", ".join((*PROVIDERS, SIMULATOR))
        raise ConfigurationError(f"accounts.{name}.provider", f"one of {known}, not {given.provider!r}")
    _check_one_key_setting(name, given)
    base_url = _base_url(name, given, provider)
    key = secret(given.api_key, given.api_key_env, f"accounts.{name}.api_key_env", environment)
    _check_requirement(name, given, provider, has_key=bool(key))
    is_own_host = _host(base_url) == _host(provider.base_url)
    batches = _batches(name, given, find_batches, is_own_host=is_own_host)
    return AccountEndpoint(
        account=structs.replace(account, base_url=base_url, api_key=key),
        batches=batches,
        handler=KeyRedactingHandler(provider.handler(), base_url=base_url, in_answers=not is_own_host),
        transport=transport,
        meter=UsageMeter(),
        read_key=_key_reader(name, given, read_secret),
        is_model_part=is_model_part,
    )


def _batches(
    name: str, given: AccountSettings, find_batches: FindBatches, *, is_own_host: bool
) -> ProviderBatches | None:
    """Return the batch API of an account: at the provider's own host, and where the account says that there is one."""
    batches = find_batches(given.provider) if is_own_host or given.lane in {"auto", "native"} else None
    if batches is None and given.lane == "native":
        raise ConfigurationError(f"accounts.{name}.lane", f"auto or direct: {given.provider} has no batch API")
    return batches


def _check_one_key_setting(name: str, given: AccountSettings) -> None:
    named = [place for place in KEY_SETTINGS if getattr(given, place) is not None]
    # api_key_env beside api_key is allowed: it takes precedence.
    if len(named) > 1 and named != ["api_key", "api_key_env"]:
        raise ConfigurationError(f"accounts.{name}.{named[-1]}", f"only one of {', '.join(KEY_SETTINGS)}")


def _check_requirement(name: str, given: AccountSettings, provider: Provider, *, has_key: bool) -> None:
    """Raise `ConfigurationError` for an account whose every call would fail."""
    if given.base_url:
        return
    if provider.requires == "base_url":
        expected = f"the URL of the server, such as {provider.base_url}"
        raise ConfigurationError(f"accounts.{name}.base_url", expected)
    if provider.requires == "key" and not has_key and given.api_key_file is None and given.api_key_secret is None:
        expected = (
            f"the key for {provider.base_url}, better in api_key_env, api_key_file or api_key_secret; a server that "
            "needs no key has a base_url of its own"
        )
        raise ConfigurationError(f"accounts.{name}.api_key", expected)


def _key_reader(name: str, given: AccountSettings, read_secret: ReadSecret) -> Callable[[], Awaitable[str]] | None:
    """Return the function that reads a key from a file or the database, where it may be replaced."""
    if given.api_key_file is not None:
        return partial(asyncio.to_thread, _read_key_file, f"accounts.{name}.api_key_file", Path(given.api_key_file))
    if given.api_key_secret is not None:
        return partial(read_secret, given.api_key_secret, f"accounts.{name}.api_key_secret")
    return None


def _price(given: PriceSettings) -> Price:
    cached = given.input if given.cached_input is None else given.cached_input
    return Price(
        input=round(given.input * NANODOLLARS_PER_DOLLAR),
        cached_input=round(cached * NANODOLLARS_PER_DOLLAR),
        output=round(given.output * NANODOLLARS_PER_DOLLAR),
    )


def _base_url(name: str, given: AccountSettings, provider: Provider) -> str:
    base_url = (given.base_url or provider.base_url).rstrip("/")
    if not _host(base_url):
        # Without the part before an @, which may be a password.
        expected = f"a URL with http or https, not {base_url.rpartition('@')[2]!r}"
        raise ConfigurationError(f"accounts.{name}.base_url", expected)
    return base_url


def _host(url: str) -> str | None:
    """Return the host and the port of an HTTP URL; None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is no number
        return None
    return parts.netloc.rpartition("@")[2].lower() if usable else None


def _read_key_file(setting: str, path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(setting, f"a readable file with the key in it: {error}") from error
    if not key:
        raise ConfigurationError(setting, f"a readable file with the key in it: {path} is empty")
    return key
