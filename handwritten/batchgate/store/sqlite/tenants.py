"""`TenantStore` on the SQLite file of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from batchgate.engine.api_keys import ApiKey, KeyPage
from batchgate.engine.errors import RefusedError
from batchgate.engine.workspaces import Use, Workspace, WorkspacePage
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.quotas import QUERIES, quotas_of, use_of

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
        bound = {"name": new.name, "created_at": new.created_at, **msgspec.structs.asdict(new.quotas)}
        inserted = await self._file.write(lambda connection: _run(connection, "insert_workspace", bound))
        return inserted > 0

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; archived ones are not found."""
        row = await self._file.read(lambda connection: _one(connection, "find_workspace", {"name": name}))
        return None if row is None else _workspace_of(row)

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page by name, from right after ``after`` on."""
        bound = {"after": after or "", "limit": limit + 1}
        rows = await self._file.read(lambda c: c.execute(QUERIES["list_workspaces"], bound).fetchall())
        return WorkspacePage(workspaces=tuple(map(_workspace_of, rows[:limit])), has_more=len(rows) > limit)

    async def update_quotas(self, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
        """Set some quotas of a workspace."""
        return await self._file.write(lambda connection: _update_quotas(connection, name, changes))

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Take a workspace out of use; False if there is none. Refused while it has a batch, a file or a good key."""
        return await self._file.write(lambda connection: _archive(connection, {"name": name, "now": now}))

    async def use_of(self, workspace: str, month: str) -> Use:
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

    async def key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by the hash of what was sent."""
        return await self._file.read(lambda connection: _key(connection, "key_by_digest", {"digest": digest}))

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> KeyPage | None:
        """Read a page of a workspace's keys, newest first, from right after a key of it on; None if it has no such."""
        return await self._file.read(lambda connection: _page(connection, workspace, after, limit))

    async def note_use(self, used: Mapping[str, int]) -> None:
        """Remember when keys were used last, by their ids."""
        bound = [{"id": key_id, "at": at} for key_id, at in used.items()]
        await self._file.write(lambda connection: connection.executemany(QUERIES["note_use"], bound).rowcount)


def _one(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(QUERIES[query], bound).fetchone()
    return row


def _run(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> int:
    return connection.execute(QUERIES[query], bound).rowcount


def _update_quotas(connection: sqlite3.Connection, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
    found = _one(connection, "find_workspace", {"name": name})
    if found is None:
        return None
    quotas = msgspec.structs.asdict(quotas_of(found)) | dict(changes)
    updated = _one(connection, "update_quotas", {"name": name, **quotas})
    return None if updated is None else _workspace_of(updated)


def _archive(connection: sqlite3.Connection, bound: Mapping[str, object]) -> bool:
    if _one(connection, "find_workspace", bound) is None:
        return False
    found = _one(connection, "what_is_in_workspace", bound)
    inside = [what for what in ("batches", "files", "keys") if found is not None and found[what]]
    if inside:
        message = f"Workspace {bound['name']!r} still has {' and '.join(inside)}; delete or revoke them first."
        raise RefusedError("invalid_request_error", message)
    return _run(connection, "archive_workspace", bound) > 0


def _create_key(connection: sqlite3.Connection, new: ApiKey, *, first: bool) -> None:
    if _one(connection, "find_workspace", {"name": new.workspace}) is None:
        raise RefusedError("not_found_error", f"There is no workspace {new.workspace!r}.")
    if first and _one(connection, "has_keys", {}) is not None:
        raise RefusedError("authentication_error", "An API key is needed by now: another one has just been created.")
    connection.execute(QUERIES["insert_key"], _key_row(new))


def _rotate(connection: sqlite3.Connection, new: ApiKey, bound: Mapping[str, object]) -> None:
    if _run(connection, "end_good_key", bound) == 0:
        message = f"Key {bound['id']!r} has expired or was revoked; create another one instead."
        raise RefusedError("invalid_request_error", message)
    connection.execute(QUERIES["insert_key"], _key_row(new))


def _revoke(connection: sqlite3.Connection, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
    bound = {"id": key_id, "now": now, "revoked_at": now}
    key = _key(connection, "find_key", bound)
    manages = key is not None and key.good_at(now) and "admin" in key.scopes
    if manages and not another_admin and _one(connection, "good_keys_beside", {**bound, "scopes": "%admin%"}) is None:
        message = f"Key {key_id!r} is the last one with the scope admin; create another one before it is revoked."
        raise RefusedError("invalid_request_error", message)
    _run(connection, "end_good_key", bound)
    return _key(connection, "find_key", bound)


def _page(connection: sqlite3.Connection, workspace: str, after: str | None, limit: int) -> KeyPage | None:
    older_than = NO_UPPER_BOUND
    if after is not None:
        cursor = _one(connection, "key_cursor", {"workspace": workspace, "id": after})
        if cursor is None:
            return None
        older_than = cursor["key"]
    bound = {"workspace": workspace, "older_than": older_than, "limit": limit + 1}
    rows = connection.execute(QUERIES["list_keys"], bound).fetchall()
    return KeyPage(keys=tuple(map(_key_of, rows[:limit])), has_more=len(rows) > limit)


def _key(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> ApiKey | None:
    row = _one(connection, query, bound)
    return None if row is None else _key_of(row)


def _key_row(key: ApiKey) -> dict[str, object]:
    return msgspec.structs.asdict(key) | {"scopes": ",".join(key.scopes)}


def _key_of(row: sqlite3.Row) -> ApiKey:
    fields = {name: row[name] for name in ApiKey.__struct_fields__}
    return ApiKey(**(fields | {"scopes": tuple(row["scopes"].split(","))}))


def _workspace_of(row: sqlite3.Row) -> Workspace:
    return Workspace(name=row["name"], created_at=row["created_at"], quotas=quotas_of(row))
