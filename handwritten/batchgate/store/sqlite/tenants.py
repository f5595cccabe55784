"""`TenantStore` on the SQLite file of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage
from batchgate.store.budget_records import budget_row, key_budget_row, workspace_budget_row
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.sqlite.budgets import set_budgets
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.quotas import QUERIES, read_usage
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
    workspace_from_row,
    workspace_not_found,
    workspace_row,
)


class SqliteTenants:
    """Workspaces and API keys in the file of the batches, which the caller opens and closes."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create the missing workspaces, and restore the archived ones."""
        params = [{"name": name, "now": now} for name in names]
        await self._file.write(lambda connection: connection.executemany(QUERIES["ensure_workspace"], params).rowcount)

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if the name is or was in use."""
        return await self._file.write(lambda connection: _create_workspace(connection, new))

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; None if it does not exist or is archived."""
        row = await self._file.read(lambda connection: _fetch_one(connection, "find_workspace", {"name": name}))
        return None if row is None else workspace_from_row(row)

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page of workspaces by name, starting after the name ``after``."""
        params = {"after": after or "", "limit": limit + 1}
        rows = await self._file.read(lambda c: c.execute(QUERIES["list_workspaces"], params).fetchall())
        return WorkspacePage(workspaces=tuple(map(workspace_from_row, rows[:limit])), has_more=len(rows) > limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None], now: int) -> Workspace | None:
        """Change some quotas of a workspace; None if it does not exist."""
        return await self._file.write(lambda connection: _update_quotas(connection, name, changes, now))

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Archive a workspace; False if it does not exist. Refused while it has a batch, a file or a valid key."""
        return await self._file.write(lambda connection: _archive(connection, name, now))

    async def find_usage(self, workspace: str, now: int) -> QuotaUsage:
        """Read the usage of a workspace."""
        return await self._file.read(lambda connection: read_usage(connection, workspace, now))

    async def has_keys(self) -> bool:
        """Return True if any key was ever created."""
        found = await self._file.look_up("has_keys", lambda connection: _fetch_one(connection, "has_keys", {}))
        return found is not None

    async def create_key(self, new: ApiKey, *, first: bool, monthly_budget: int | None = None) -> None:
        """Store a key; refused if its workspace does not exist, or if it is to be the first and is not."""
        budget = None if monthly_budget is None else key_budget_row(new, monthly_budget)
        await self._file.write(lambda connection: _create_key(connection, new, budget, first=first))

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a valid one."""
        params = {"id": key_id, "now": new.created_at, "revoked_at": revoked_at}
        await self._file.write(lambda connection: _rotate(connection, new, params))

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Revoke a key and return it; None if it does not exist."""
        return await self._file.write(lambda connection: _revoke(connection, key_id, now, another_admin=another_admin))

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        return await self._file.read(lambda connection: _key(connection, "find_key", {"id": key_id}))

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by its hash."""
        key = ("key_by_digest", digest)
        return await self._file.look_up(key, lambda connection: _key(connection, "key_by_digest", {"digest": digest}))

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, after the key ``after``; None if it has no such key."""
        return await self._file.read(lambda connection: _page(connection, workspace, after, limit))

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Record when keys were last used, by their ids."""
        params = [{"id": key_id, "at": at} for key_id, at in used.items()]
        await self._file.write(lambda connection: connection.executemany(QUERIES["record_key_use"], params).rowcount)


def _fetch_one(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(QUERIES[query], params).fetchone()
    return row


def _create_workspace(connection: sqlite3.Connection, new: Workspace) -> bool:
    created = _fetch_one(connection, "insert_workspace", workspace_row(new)) is not None
    if created and new.quotas.monthly_spend is not None:
        set_budgets(connection, [workspace_budget_row(new)])
    return created


def _update_quotas(
    connection: sqlite3.Connection, name: str, changes: Mapping[str, int | None], now: int
) -> Workspace | None:
    found = _fetch_one(connection, "find_workspace", {"name": name})
    if found is None:
        return None
    quotas = msgspec.structs.asdict(quotas_from_row(found)) | dict(changes)
    updated = _fetch_one(connection, "update_quotas", {"name": name, **quotas})
    if "monthly_spend" in changes:
        set_budgets(connection, [budget_row("workspace", name, name, changes["monthly_spend"], now)])
    return None if updated is None else workspace_from_row(updated)


def _archive(connection: sqlite3.Connection, name: str, now: int) -> bool:
    params = {"name": name, "now": now}
    if _fetch_one(connection, "find_workspace", params) is None:
        return False
    check_workspace_empty(name, connection.execute(QUERIES["workspace_contents"], params).fetchone())
    return _fetch_one(connection, "archive_workspace", params) is not None


def _create_key(
    connection: sqlite3.Connection, new: ApiKey, budget: Mapping[str, object] | None, *, first: bool
) -> None:
    if _fetch_one(connection, "find_workspace", {"name": new.workspace}) is None:
        raise workspace_not_found(new.workspace)
    if first and _fetch_one(connection, "has_keys", {}) is not None:
        raise api_key_required()
    connection.execute(QUERIES["insert_key"], api_key_row(new))
    if budget is not None:
        set_budgets(connection, [budget])


def _rotate(connection: sqlite3.Connection, new: ApiKey, params: Mapping[str, object]) -> None:
    if _fetch_one(connection, "revoke_active_key", params) is None:
        raise api_key_not_active(str(params["id"]))
    connection.execute(QUERIES["insert_key"], api_key_row(new))


def _revoke(connection: sqlite3.Connection, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
    params = {"id": key_id, "now": now, "revoked_at": now}
    key = _key(connection, "find_key", params)
    if key is not None and is_admin_key(key, now) and not another_admin:
        other_key = _fetch_one(connection, "other_active_keys", {**params, "scopes": ADMIN_SCOPE_PATTERN})
        check_other_admin_key(other_key, key_id)
    _fetch_one(connection, "revoke_active_key", params)
    return _key(connection, "find_key", params)


def _page(connection: sqlite3.Connection, workspace: str, after: str | None, limit: int) -> ApiKeyPage | None:
    older_than = NO_UPPER_BOUND
    if after is not None:
        cursor = _fetch_one(connection, "key_cursor", {"workspace": workspace, "id": after})
        if cursor is None:
            return None
        older_than = cursor["key"]
    params = {"workspace": workspace, "older_than": older_than, "limit": limit + 1}
    rows = connection.execute(QUERIES["list_keys"], params).fetchall()
    return ApiKeyPage(keys=tuple(map(api_key_from_row, rows[:limit])), has_more=len(rows) > limit)


def _key(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> ApiKey | None:
    row = _fetch_one(connection, query, params)
    return None if row is None else api_key_from_row(row)
