"""Combines the API keys and workspaces of the settings with those of the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from aiohttp import web

from batchgate.api.authentication import Authenticator, ConfiguredKey
from batchgate.api.public_url import PublicUrl
from batchgate.api.session_cookie import SessionCookies
from batchgate.engine.model.api_key import DEFAULT_WORKSPACE, Caller, hash_key
from batchgate.engine.model.budget import budget_of
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache
from batchgate.engine.tenancy.tenants import ConfiguredTenants, Tenants
from batchgate.settings import Settings, is_loopback, secret


class Tenancy:
    """The authenticator and the management of tenants; ``run`` must be active while the store is open."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        store: TenantStore,
        budgets: BudgetStore,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._keys = ApiKeyCache(store, clock)
        self.cookies = SessionCookies(PublicUrl(settings.public_url, settings.networks))
        configured = _configured_keys(settings, environment)
        self.authenticator = Authenticator(configured, self._keys, self.cookies, settings.networks)
        self.tenants = Tenants(store, budgets, self._keys, clock, _configured(settings))

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Store what the settings have; record the uses of keys until the end. Raises `ConfigurationError`."""
        await self.tenants.ensure_workspaces()
        await self.tenants.set_configured_budgets()
        await self._check_host()
        recording = asyncio.create_task(self._keys.run(), name="key uses")
        yield
        recording.cancel()
        with suppress(asyncio.CancelledError):
            await recording
        await self._keys.write_uses()

    async def _check_host(self) -> None:
        host = self._settings.host
        if not (is_loopback(host) or self._settings.api_keys or await self._keys.has_keys()):
            expected = (
                f"a loopback address such as 127.0.0.1, because there are no API keys; {host} needs at least one: "
                "write [api_keys.NAME] with key_env, or run `batchgate keys create` on a gateway at 127.0.0.1"
            )
            raise ConfigurationError("host", expected)


def _configured(settings: Settings) -> ConfiguredTenants:
    keys = settings.api_keys.values()
    return ConfiguredTenants(
        workspaces=frozenset({DEFAULT_WORKSPACE, *(key.workspace for key in keys)}),
        accounts=frozenset(settings.accounts),
        has_keys=bool(keys),
        has_admin=any("admin" in key.scopes for key in keys),
        key_budgets={
            (key.workspace, name): None if key.monthly_budget_usd is None else budget_of(key.monthly_budget_usd)
            for name, key in settings.api_keys.items()
        },
    )


def _configured_keys(settings: Settings, environment: Mapping[str, str]) -> list[ConfiguredKey]:
    return [
        ConfiguredKey(
            digest=hash_key(secret(key.key, key.key_env, f"api_keys.{name}.key_env", environment) or ""),
            caller=Caller(name=name, workspace=key.workspace, scopes=key.scopes),
        )
        for name, key in settings.api_keys.items()
    ]
