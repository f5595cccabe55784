"""`TenantStore` on the PostgreSQL database of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage
from batchgate.store.budget_records import budget_row, key_budget_row, workspace_budget_row
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.postgres.budgets import set_budget
from batchgate.store.postgres.connection import Params, PostgresPool, Row, Transaction, is_storable
from batchgate.store.tenant_records import (
    ADMIN_SCOPE_PATTERN,
    api_key_from_row,
    api_key_not_active,
    api_key_required,
    api_key_row,
    check_other_admin_key,
    check_workspace_empty,
    is_admin_key,
    quotas_from_row,
    usage_from_row,
    usage_params,
    workspace_from_row,
    workspace_not_found,
    workspace_row,
)


class PostgresTenants:
    """Workspaces and API keys in the database of the batches, on a pool that the caller opens and closes."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create the missing workspaces, and restore the archived ones."""

        async def work(transaction: Transaction) -> None:
            for name in sorted(names):
                await transaction.execute("ensure_workspace", {"name": name, "now": now})

        await self._pool.write(work, repeatable=True)

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if the name is or was in use."""
        return await self._pool.write(lambda transaction: _create_workspace(transaction, new))

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; None if it does not exist or is archived."""
        row = await self._pool.find_one("find_workspace", {"name": name})
        return None if row is None else workspace_from_row(row)

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page of workspaces by name, starting after the name ``after``."""
        last = (after or "").partition("\0")[0]  # no name has a NUL, so the same names come after the text before it
        rows = await self._pool.fetch_all("list_workspaces", {"after": last, "limit": limit + 1})
        return WorkspacePage(workspaces=tuple(map(workspace_from_row, rows[:limit])), has_more=len(rows) > limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None], now: int) -> Workspace | None:
        """Change some quotas of a workspace; None if it does not exist."""
        if not is_storable(name):
            return None
        return await self._pool.write(
            lambda transaction: _update_quotas(transaction, name, changes, now), repeatable=True
        )

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Archive a workspace; False if it does not exist. Refused while it has a batch, a file or a valid key."""
        if not is_storable(name):
            return False
        return await self._pool.write(lambda transaction: _archive(transaction, name, now))

    async def find_usage(self, workspace: str, now: int) -> QuotaUsage:
        """Read the usage of a workspace."""
        row = await self._pool.fetch_one("workspace_usage", usage_params(workspace, now))
        assert row is not None
        return usage_from_row(row)

    async def has_keys(self) -> bool:
        """Return True if any key was ever created."""
        return await self._pool.fetch_one("has_keys", {}) is not None

    async def create_key(self, new: ApiKey, *, first: bool, monthly_budget: int | None = None) -> None:
        """Store a key; refused if its workspace does not exist, or if it is to be the first and is not."""
        budget = None if monthly_budget is None else key_budget_row(new, monthly_budget)
        if not is_storable(new.workspace):
            raise workspace_not_found(new.workspace)
        await self._pool.write(lambda transaction: _create_key(transaction, new, budget, first=first))

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a valid one."""
        params = {"id": key_id, "now": new.created_at, "revoked_at": revoked_at}
        await self._pool.write(lambda transaction: _rotate(transaction, new, params))

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Revoke a key and return it; None if it does not exist."""
        if not is_storable(key_id):
            return None
        params = {"id": key_id, "now": now, "revoked_at": now}
        return await self._pool.write(
            lambda transaction: _revoke(transaction, params, now, another_admin=another_admin), repeatable=True
        )

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        return _key(await self._pool.find_one("find_key", {"id": key_id}))

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by its hash."""
        return _key(await self._pool.fetch_one("key_by_digest", {"digest": digest}))

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, after the key ``after``; None if it has no such key."""
        older_than = NO_UPPER_BOUND
        if after is not None:
            cursor = await self._pool.find_one("key_cursor", {"workspace": workspace, "id": after})
            if cursor is None:
                return None
            older_than = cursor["key"]
        params = {"workspace": workspace, "older_than": older_than, "limit": limit + 1}
        rows = await self._pool.fetch_all("list_keys", params)
        return ApiKeyPage(keys=tuple(map(api_key_from_row, rows[:limit])), has_more=len(rows) > limit)

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Record when keys were last used, by their ids."""

        async def work(transaction: Transaction) -> None:
            for key_id, at in sorted(used.items()):  # in one order, since other gateways record the same keys
                await transaction.execute("record_key_use", {"id": key_id, "at": at})

        await self._pool.write(work, repeatable=True, durable=False)


async def _create_workspace(transaction: Transaction, new: Workspace) -> bool:
    created = await transaction.fetch_one("insert_workspace", workspace_row(new)) is not None
    if created and new.quotas.monthly_spend is not None:
        await transaction.execute("lock_budgets", {})
        await set_budget(transaction, workspace_budget_row(new))
    return created


async def _update_quotas(
    transaction: Transaction, name: str, changes: Mapping[str, int | None], now: int
) -> Workspace | None:
    found = await transaction.fetch_one("lock_workspace", {"name": name})
    if found is None:
        return None
    quotas = msgspec.structs.asdict(quotas_from_row(found)) | dict(changes)
    updated = await transaction.fetch_one("update_quotas", {"name": name, **quotas})
    if "monthly_spend" in changes:
        await transaction.execute("lock_budgets", {})
        await set_budget(transaction, budget_row("workspace", name, name, changes["monthly_spend"], now))
    return None if updated is None else workspace_from_row(updated)


async def _archive(transaction: Transaction, name: str, now: int) -> bool:
    params = {"name": name, "now": now}
    await transaction.execute("lock_keys", {})
    await transaction.execute("lock_workspace_order", {"workspace": name})
    if await transaction.fetch_one("find_workspace", params) is None:
        return False
    found = await transaction.fetch_one("workspace_contents", params)
    assert found is not None
    check_workspace_empty(name, found)
    return await transaction.fetch_one("archive_workspace", params) is not None


async def _create_key(
    transaction: Transaction, new: ApiKey, budget: Mapping[str, object] | None, *, first: bool
) -> None:
    await transaction.execute("lock_keys", {})
    if await transaction.fetch_one("find_workspace", {"name": new.workspace}) is None:
        raise workspace_not_found(new.workspace)
    if first and await transaction.fetch_one("has_keys", {}) is not None:
        raise api_key_required()
    await transaction.execute("insert_key", api_key_row(new))
    if budget is not None:
        await transaction.execute("lock_budgets", {})
        await set_budget(transaction, budget)


async def _rotate(transaction: Transaction, new: ApiKey, params: Params) -> None:
    await transaction.execute("lock_keys", {})
    if await transaction.fetch_one("revoke_active_key", params) is None:
        raise api_key_not_active(str(params["id"]))
    await transaction.execute("insert_key", api_key_row(new))


async def _revoke(transaction: Transaction, params: Params, now: int, *, another_admin: bool) -> ApiKey | None:
    await transaction.execute("lock_keys", {})
    key = _key(await transaction.fetch_one("find_key", params))
    if key is not None and is_admin_key(key, now) and not another_admin:
        other_key = await transaction.fetch_one("other_active_keys", {**params, "scopes": ADMIN_SCOPE_PATTERN})
        check_other_admin_key(other_key, key.id)
    await transaction.execute("revoke_active_key", params)
    return _key(await transaction.fetch_one("find_key", params))


def _key(row: Row | None) -> ApiKey | None:
    return None if row is None else api_key_from_row(row)
