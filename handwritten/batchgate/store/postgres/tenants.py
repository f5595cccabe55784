"""`TenantStore` on the PostgreSQL database of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage
from batchgate.store.postgres.connection import Bound, PostgresPool, Row, Transaction, storable
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
    use_of,
    without_workspace,
    workspace_of,
    workspace_row,
)

NO_UPPER_BOUND: Final = 2**63 - 1


class PostgresTenants:
    """Workspaces and API keys in the database that the batches are in, on connections that somebody else keeps."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create those that are not there, and take those that are archived back into use."""

        async def work(transaction: Transaction) -> None:
            for name in sorted(names):
                await transaction.send("ensure_workspace", {"name": name, "now": now})

        await self._pool.write(work, repeatable=True)

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if there is, or was, one of this name."""
        row = await self._pool.write(lambda transaction: transaction.one("insert_workspace", workspace_row(new)))
        return row is not None

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; archived ones are not found."""
        row = await self._one("find_workspace", {"name": name})
        return None if row is None else workspace_of(row)

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page by name, from right after ``after`` on."""
        rows = await self._pool.rows("list_workspaces", {"after": after or "", "limit": limit + 1})
        return WorkspacePage(workspaces=tuple(map(workspace_of, rows[:limit])), has_more=len(rows) > limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
        """Set some quotas of a workspace."""
        if not storable(name):
            return None
        return await self._pool.write(lambda transaction: _update_quotas(transaction, name, changes), repeatable=True)

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Take a workspace out of use; False if there is none. Refused while it has a batch, a file or a good key."""
        if not storable(name):
            return False
        return await self._pool.write(lambda transaction: _archive(transaction, name, now))

    async def find_usage(self, workspace: str, month: str) -> QuotaUsage:
        """Read what a workspace uses."""
        bound = {"workspace": workspace, "month": month}
        current, stored, spent = [await self._pool.one(name, bound) for name in ("open_use", "stored_bytes", "spent")]
        assert current is not None
        return use_of(current, stored, spent)

    async def has_keys(self) -> bool:
        """Tell if any key was ever created."""
        return await self._pool.one("has_keys", {}) is not None

    async def create_key(self, new: ApiKey, *, first: bool) -> None:
        """Store a key of a workspace that is there."""
        if not storable(new.workspace):
            raise without_workspace(new.workspace)
        await self._pool.write(lambda transaction: _create_key(transaction, new, first=first))

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a good one."""
        bound = {"id": key_id, "now": new.created_at, "revoked_at": revoked_at}
        await self._pool.write(lambda transaction: _rotate(transaction, new, bound))

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Let a key be refused from now on."""
        if not storable(key_id):
            return None
        bound = {"id": key_id, "now": now, "revoked_at": now}
        return await self._pool.write(
            lambda transaction: _revoke(transaction, bound, now, another_admin=another_admin), repeatable=True
        )

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        return _key(await self._one("find_key", {"id": key_id}))

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by the hash of what was sent."""
        return _key(await self._pool.one("key_by_digest", {"digest": digest}))

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, from right after a key of it on; None if it has no such."""
        older_than = NO_UPPER_BOUND
        if after is not None:
            cursor = await self._one("key_cursor", {"workspace": workspace, "id": after})
            if cursor is None:
                return None
            older_than = cursor["key"]
        bound = {"workspace": workspace, "older_than": older_than, "limit": limit + 1}
        rows = await self._pool.rows("list_keys", bound)
        return ApiKeyPage(keys=tuple(map(key_of, rows[:limit])), has_more=len(rows) > limit)

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Remember when keys were used last, by their ids."""

        async def work(transaction: Transaction) -> None:
            for key_id, at in sorted(used.items()):  # in one order: other gateways note the same keys
                await transaction.send("note_use", {"id": key_id, "at": at})

        await self._pool.write(work, repeatable=True, durable=False)

    async def _one(self, query: str, bound: Mapping[str, str]) -> Row | None:
        """Look something up; what cannot be stored is not there."""
        return await self._pool.one(query, bound) if storable(*bound.values()) else None


async def _update_quotas(transaction: Transaction, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
    found = await transaction.one("lock_workspace", {"name": name})
    if found is None:
        return None
    quotas = msgspec.structs.asdict(quotas_of(found)) | dict(changes)
    updated = await transaction.one("update_quotas", {"name": name, **quotas})
    return None if updated is None else workspace_of(updated)


async def _archive(transaction: Transaction, name: str, now: int) -> bool:
    bound = {"name": name, "now": now}
    await transaction.send("lock_keys", {})
    await transaction.send("lock_order", {"workspace": name})
    if await transaction.one("find_workspace", bound) is None:
        return False
    found = await transaction.one("what_is_in_workspace", bound)
    assert found is not None
    refuse_unless_empty(name, found)
    return await transaction.one("archive_workspace", bound) is not None


async def _create_key(transaction: Transaction, new: ApiKey, *, first: bool) -> None:
    await transaction.send("lock_keys", {})
    if await transaction.one("find_workspace", {"name": new.workspace}) is None:
        raise without_workspace(new.workspace)
    if first and await transaction.one("has_keys", {}) is not None:
        raise no_longer_first()
    await transaction.send("insert_key", key_row(new))


async def _rotate(transaction: Transaction, new: ApiKey, bound: Bound) -> None:
    await transaction.send("lock_keys", {})
    if await transaction.one("end_good_key", bound) is None:
        raise no_longer_good(str(bound["id"]))
    await transaction.send("insert_key", key_row(new))


async def _revoke(transaction: Transaction, bound: Bound, now: int, *, another_admin: bool) -> ApiKey | None:
    await transaction.send("lock_keys", {})
    key = _key(await transaction.one("find_key", bound))
    if key is not None and manages(key, now) and not another_admin:
        beside = await transaction.one("good_keys_beside", {**bound, "scopes": MANAGING})
        refuse_without(beside, key.id)
    await transaction.send("end_good_key", bound)
    return _key(await transaction.one("find_key", bound))


def _key(row: Row | None) -> ApiKey | None:
    return None if row is None else key_of(row)
