"""Workspaces and API keys: the operations that the HTTP API calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from batchgate.engine.model.api_key import (
    DEFAULT_SCOPES,
    HINT_LENGTH,
    ApiKey,
    ApiKeyPage,
    Scope,
    generate_key,
    hash_key,
)
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.monthly_budget import MonthlyBudget, budgets_of_keys
from batchgate.engine.model.workspace import Quotas, QuotaUsage, Workspace, WorkspacePage
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache

logger = logging.getLogger(__name__)

FIRST_KEY_NEEDS_ADMIN: Final = (
    "scopes: the first key of a gateway must have the scope admin: from then on every call needs a key, and creating "
    "another key needs this scope"
)


class ConfiguredTenants(Struct, frozen=True, kw_only=True):
    """The workspaces, keys and accounts of the settings."""

    workspaces: frozenset[str] = frozenset()
    """The workspaces of the keys in the settings, and the default workspace."""
    accounts: frozenset[str] = frozenset()
    has_keys: bool = False
    has_admin: bool = False
    """Whether a key in the settings has the scope admin."""
    key_budgets: Mapping[tuple[str, str], int | None] = {}
    """The monthly budgets of the keys in the settings, by their workspaces and names; None for those without."""


class ApiKeyOptions(Struct, frozen=True, kw_only=True):
    """The options of a new key."""

    name: str
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    lifetime: int | None = None
    """Seconds from the creation to the expiry; None for a key that does not expire."""
    monthly_budget: int | None = None
    """What the batches of all keys of its name may cost in a month; None leaves the budget that they have."""


class Tenants:
    """Creates, finds, lists and changes workspaces and keys; the HTTP API authorizes the caller before."""

    def __init__(
        self,
        store: TenantStore,
        budgets: BudgetStore,
        key_cache: ApiKeyCache,
        clock: Clock,
        configured: ConfiguredTenants,
    ) -> None:
        self._store = store
        self._budgets = budgets
        self._key_cache = key_cache
        self._clock = clock
        self._configured = configured

    async def ensure_workspaces(self) -> None:
        """Create or restore the workspaces of the settings."""
        await self._store.ensure_workspaces(sorted(self._configured.workspaces), self._clock.now())

    async def set_configured_budgets(self) -> None:
        """Store the budgets of the keys in the settings."""
        await self._budgets.set_configured_key_budgets(self._configured.key_budgets, self._clock.now())

    async def create_workspace(self, name: str, quotas: Quotas) -> Workspace:
        """Create a workspace; raises `RefusedError` if the name is, or was, in use."""
        new = Workspace(name=name, created_at=self._clock.now(), quotas=quotas)
        if not await self._store.create_workspace(new):
            message = f"name: the workspace {name!r} exists or is archived; choose another name"
            raise RefusedError("invalid_request_error", message, param="name")
        logger.info("workspace %r created", new.name, extra={"action": "workspace_created", "workspace": new.name})
        return new

    async def find_workspace(self, name: str) -> tuple[Workspace, QuotaUsage]:
        """Return a workspace and its usage; raises `RefusedError` if there is none."""
        found = _require_workspace(await self._store.find_workspace(name), name)
        return found, await self._store.find_usage(name, self._clock.now())

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Return a page in the order of names."""
        return await self._store.list_workspaces(after=after, limit=limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None]) -> tuple[Workspace, QuotaUsage]:
        """Change quotas of a workspace; the keys of ``changes`` are fields of `Quotas`."""
        updated = _require_workspace(await self._store.update_quotas(name, changes, self._clock.now()), name)
        logger.info("quotas of workspace %r changed", name, extra={"action": "workspace_updated", "workspace": name})
        return updated, await self._store.find_usage(name, self._clock.now())

    async def archive_workspace(self, name: str) -> None:
        """Archive an empty workspace; raises `RefusedError` if it is not empty, or is used in the settings."""
        if name in self._configured.workspaces:
            message = (
                f"Workspace {name!r} cannot be archived: it is the default workspace, or a key in the settings uses it."
            )
            raise RefusedError("invalid_request_error", message)
        if not await self._store.archive_workspace(name, self._clock.now()):
            raise workspace_not_found(name)
        logger.info("workspace %r archived", name, extra={"action": "workspace_archived", "workspace": name})

    async def create_key(self, workspace: str, options: ApiKeyOptions) -> tuple[ApiKey, MonthlyBudget | None, str]:
        """Create a key, and return it with its budget and its secret.

        Raises `RefusedError` if there is no such workspace.
        """
        first = not self._configured.has_keys and not await self._key_cache.has_keys()
        if first and "admin" not in options.scopes:
            raise RefusedError("invalid_request_error", FIRST_KEY_NEEDS_ADMIN, param="scopes")
        key, secret = self._new_key(workspace, options)
        await self._store.create_key(key, first=first, monthly_budget=options.monthly_budget)
        self._key_cache.invalidate()
        logger.info("key %r created", key.id, extra={"action": "key_created", "key": key.id, "workspace": workspace})
        return *await self._with_budget(key), secret

    async def find_key(self, key_id: str) -> ApiKey:
        """Return a stored key; raises `RefusedError` if there is none."""
        return _require_key(await self._store.find_key(key_id), key_id)

    async def find_key_with_budget(self, key_id: str) -> tuple[ApiKey, MonthlyBudget | None]:
        """Return a stored key, and the budget of all keys of its name; raises `RefusedError` if there is none."""
        return await self._with_budget(await self.find_key(key_id))

    async def _with_budget(self, key: ApiKey) -> tuple[ApiKey, MonthlyBudget | None]:
        return key, budgets_of_keys(await self.monthly_budgets()).get((key.workspace, key.name))

    async def change_key_budget(self, key_id: str, budget: int | None) -> tuple[ApiKey, MonthlyBudget | None]:
        """Change the budget of all keys that have the name of a key; raises `RefusedError` if there is no such key."""
        key = await self.find_key(key_id)
        await self._budgets.set_key_budget(key.workspace, key.name, budget, self._clock.now())
        fields = {"action": "key_updated", "key": key_id, "workspace": key.workspace}
        logger.info("monthly budget of key %r changed", key_id, extra=fields)
        return await self._with_budget(key)

    async def monthly_budgets(self) -> Sequence[MonthlyBudget]:
        """Return the monthly budgets with what is spent of them; of accounts, those that the settings have."""
        found = await self._budgets.monthly_budgets(self._clock.now())
        return [each for each in found if each.kind != "account" or each.name in self._configured.accounts]

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage:
        """Return a page of a workspace's keys, newest first; raises `RefusedError` for an unknown ``after``."""
        _require_workspace(await self._store.find_workspace(workspace), workspace)
        page = await self._store.list_keys(workspace, after=after, limit=limit)
        if page is None:
            message = f"after: there is no key {after!r} in this workspace to page from"
            raise RefusedError("invalid_request_error", message, param="after")
        return page

    async def rotate_key(self, key_id: str, grace: int) -> tuple[ApiKey, MonthlyBudget | None, str]:
        """Replace a key by a new one with the same lifetime; the old one stays valid for ``grace`` seconds."""
        old = await self.find_key(key_id)
        lifetime = None if old.expires_at is None else (old.expires_at - old.created_at) // MICROSECONDS
        options = ApiKeyOptions(name=old.name, scopes=old.scopes, lifetime=lifetime)
        key, secret = self._new_key(old.workspace, options)
        ends = (key.created_at + grace * MICROSECONDS, old.revoked_at)
        await self._store.rotate_key(key_id, key, min(end for end in ends if end is not None))
        self._key_cache.invalidate()
        logger.info(
            "key %r replaced", key_id, extra={"action": "key_rotated", "key": key_id, "workspace": old.workspace}
        )
        return *await self._with_budget(key), secret

    async def revoke_key(self, key_id: str) -> tuple[ApiKey, MonthlyBudget | None]:
        """Revoke a key; raises `RefusedError` for the last valid admin key."""
        another_admin = self._configured.has_admin
        revoked = await self._store.revoke_key(key_id, self._clock.now(), another_admin=another_admin)
        self._key_cache.invalidate()
        key = _require_key(revoked, key_id)
        logger.info(
            "key %r revoked", key_id, extra={"action": "key_revoked", "key": key_id, "workspace": key.workspace}
        )
        return await self._with_budget(key)

    def _new_key(self, workspace: str, options: ApiKeyOptions) -> tuple[ApiKey, str]:
        secret, now = generate_key(), self._clock.now()
        key = ApiKey(
            id=new_id("key"),
            digest=hash_key(secret),
            name=options.name,
            workspace=workspace,
            scopes=options.scopes,
            hint=secret[-HINT_LENGTH:],
            created_at=now,
            expires_at=None if options.lifetime is None else now + options.lifetime * MICROSECONDS,
        )
        return key, secret


def workspace_not_found(name: str) -> RefusedError:
    """Return the error for a workspace that does not exist."""
    return RefusedError("not_found_error", f"There is no workspace {name!r}.")


def _require_workspace(workspace: Workspace | None, name: str) -> Workspace:
    if workspace is None:
        raise workspace_not_found(name)
    return workspace


def _require_key(key: ApiKey | None, key_id: str) -> ApiKey:
    if key is None:
        raise RefusedError("not_found_error", f"There is no API key {key_id!r}.")
    return key
