"""From settings to endpoints: which handler and which transport each configured account has."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from batchgate.engine.errors import ConfigurationError
from batchgate.engine.routing import Endpoint
from batchgate.engine.upstream import Account, Transport
from batchgate.providers.anthropic import AnthropicHandler
from batchgate.providers.registry import PROVIDERS
from batchgate.providers.simulator import SimulatorTransport
from batchgate.settings import AccountSettings, Settings, secret

SIMULATOR = "simulator"
DEFAULT = "anthropic"


def endpoints(settings: Settings, transport: Transport, environment: Mapping[str, str]) -> list[Endpoint]:
    """Make the endpoints of all accounts; raises `ConfigurationError`."""
    return [_endpoint(name, account, transport, environment) for name, account in settings.accounts.items()]


def default_account(settings: Settings) -> str:
    """Tell the account for requests that name none; the documented default is anthropic, configured or not."""
    if settings.default_provider is not None:
        return settings.default_provider
    if DEFAULT not in settings.accounts and len(settings.accounts) == 1:
        return next(iter(settings.accounts))
    return DEFAULT


def _endpoint(name: str, given: AccountSettings, transport: Transport, environment: Mapping[str, str]) -> Endpoint:
    if given.provider == SIMULATOR:
        account = Account(name=name, provider=SIMULATOR, base_url="http://simulator", concurrency=given.concurrency)
        return Endpoint(account=account, handler=AnthropicHandler(), transport=SimulatorTransport(given.simulator))
    provider = PROVIDERS.get(given.provider)
    if provider is None:
        known = ", ".join((*PROVIDERS, SIMULATOR))
        raise ConfigurationError(f"accounts.{name}.provider", f"one of {known}, not {given.provider!r}")
    base_url = (given.base_url or provider.base_url).rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).netloc:
        raise ConfigurationError(f"accounts.{name}.base_url", f"a URL with http or https, not {given.base_url!r}")
    account = Account(
        name=name,
        provider=given.provider,
        base_url=base_url,
        api_key=secret(given.api_key, given.api_key_env, f"accounts.{name}.api_key_env", environment),
        concurrency=given.concurrency,
        timeout=given.timeout,
    )
    return Endpoint(account=account, handler=provider.handler(), transport=transport)
