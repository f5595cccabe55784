"""`TenantStore` on the SQLite file of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.quotas import QUERIES, use_of
from batchgate.store.tenant_records import (
    MANAGING,
    key_of,
    key_row,
    manages,
    no_longer_first,
    no_longer_good,
    quotas_of,
    refuse_unless_empty,
    refuse_without,
    without_workspace,
    workspace_of,
    workspace_row,
)

NO_UPPER_BOUND = 2**63 - 1


class SqliteTenants:
    """Workspaces and API keys in the file that the batches are in, which somebody else opens and closes."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create those that are not there, and take those that are archived back into use."""
        bound = [{"name": name, "now": now} for name in names]
        await self._file.write(lambda connection: connection.executemany(QUERIES["ensure_workspace"], bound).rowcount)

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if there is, or was, one of this name."""
        return await self._file.write(lambda c: _one(c, "insert_workspace", workspace_row(new))) is not None

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; archived ones are not found."""
        row = await self._file.read(lambda connection: _one(connection, "find_workspace", {"name": name}))
        return None if row is None else workspace_of(row)

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page by name, from right after ``after`` on."""
        bound = {"after": after or "", "limit": limit + 1}
        rows = await self._file.read(lambda c: c.execute(QUERIES["list_workspaces"], bound).fetchall())
        return WorkspacePage(workspaces=tuple(map(workspace_of, rows[:limit])), has_more=len(rows) > limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
        """Set some quotas of a workspace."""
        return await self._file.write(lambda connection: _update_quotas(connection, name, changes))

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Take a workspace out of use; False if there is none. Refused while it has a batch, a file or a good key."""
        return await self._file.write(lambda connection: _archive(connection, name, now))

    async def find_usage(self, workspace: str, month: str) -> QuotaUsage:
        """Read what a workspace uses."""
        return await self._file.read(lambda connection: use_of(connection, workspace, month))

    async def has_keys(self) -> bool:
        """Tell if any key was ever created."""
        return await self._file.read(lambda connection: _one(connection, "has_keys", {})) is not None

    async def create_key(self, new: ApiKey, *, first: bool) -> None:
        """Store a key of a workspace that is there."""
        await self._file.write(lambda connection: _create_key(connection, new, first=first))

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a good one."""
        bound = {"id": key_id, "now": new.created_at, "revoked_at": revoked_at}
        await self._file.write(lambda connection: _rotate(connection, new, bound))

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Let a key be refused from now on."""
        return await self._file.write(lambda connection: _revoke(connection, key_id, now, another_admin=another_admin))

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        return await self._file.read(lambda connection: _key(connection, "find_key", {"id": key_id}))

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by the hash of what was sent."""
        return await self._file.read(lambda connection: _key(connection, "key_by_digest", {"digest": digest}))

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, from right after a key of it on; None if it has no such."""
        return await self._file.read(lambda connection: _page(connection, workspace, after, limit))

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Remember when keys were used last, by their ids."""
        bound = [{"id": key_id, "at": at} for key_id, at in used.items()]
        await self._file.write(lambda connection: connection.executemany(QUERIES["note_use"], bound).rowcount)


def _one(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(QUERIES[query], bound).fetchone()
    return row


def _update_quotas(connection: sqlite3.Connection, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
    found = _one(connection, "find_workspace", {"name": name})
    if found is None:
        return None
    quotas = msgspec.structs.asdict(quotas_of(found)) | dict(changes)
    updated = _one(connection, "update_quotas", {"name": name, **quotas})
    return None if updated is None else workspace_of(updated)


def _archive(connection: sqlite3.Connection, name: str, now: int) -> bool:
    bound = {"name": name, "now": now}
    if _one(connection, "find_workspace", bound) is None:
        return False
    refuse_unless_empty(name, connection.execute(QUERIES["what_is_in_workspace"], bound).fetchone())
    return _one(connection, "archive_workspace", bound) is not None


def _create_key(connection: sqlite3.Connection, new: ApiKey, *, first: bool) -> None:
    if _one(connection, "find_workspace", {"name": new.workspace}) is None:
        raise without_workspace(new.workspace)
    if first and _one(connection, "has_keys", {}) is not None:
        raise no_longer_first()
    connection.execute(QUERIES["insert_key"], key_row(new))


def _rotate(connection: sqlite3.Connection, new: ApiKey, bound: Mapping[str, object]) -> None:
    if _one(connection, "end_good_key", bound) is None:
        raise no_longer_good(str(bound["id"]))
    connection.execute(QUERIES["insert_key"], key_row(new))


def _revoke(connection: sqlite3.Connection, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
    bound = {"id": key_id, "now": now, "revoked_at": now}
    key = _key(connection, "find_key", bound)
    if key is not None and manages(key, now) and not another_admin:
        refuse_without(_one(connection, "good_keys_beside", {**bound, "scopes": MANAGING}), key_id)
    _one(connection, "end_good_key", bound)
    return _key(connection, "find_key", bound)


def _page(connection: sqlite3.Connection, workspace: str, after: str | None, limit: int) -> ApiKeyPage | None:
    older_than = NO_UPPER_BOUND
    if after is not None:
        cursor = _one(connection, "key_cursor", {"workspace": workspace, "id": after})
        if cursor is None:
            return None
        older_than = cursor["key"]
    bound = {"workspace": workspace, "older_than": older_than, "limit": limit + 1}
    rows = connection.execute(QUERIES["list_keys"], bound).fetchall()
    return ApiKeyPage(keys=tuple(map(key_of, rows[:limit])), has_more=len(rows) > limit)


def _key(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> ApiKey | None:
    row = _one(connection, query, bound)
    return None if row is None else key_of(row)
