"""The part of the store that keeps workspaces and API keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage


class TenantStore(Protocol):
    """Keeps workspaces and API keys; every write is durable when its call returns. Raises `StoreError`.

    Raises `RefusedError`, and changes nothing, if a write would break a rule between rows.
    """

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create the missing workspaces, and restore the archived ones."""
        ...

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if one with this name exists or is archived."""
        ...

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; None if it does not exist or is archived."""
        ...

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page in the order of names, starting after ``after``."""
        ...

    async def update_quotas(self, name: str, changes: Mapping[str, int | None], now: int) -> Workspace | None:
        """Set quotas of a workspace; the keys of ``changes`` are fields of `Quotas`."""
        ...

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Archive a workspace; False if it does not exist. Refused while it has a batch, a file or a valid key."""
        ...

    async def find_usage(self, workspace: str, now: int) -> QuotaUsage:
        """Read the usage of a workspace, with the spend of the month and the creates of the minute of a time."""
        ...

    async def has_keys(self) -> bool:
        """Check whether a key was ever created; from then on every call needs one."""
        ...

    async def create_key(self, new: ApiKey, *, first: bool, monthly_budget: int | None = None) -> None:
        """Store a key of an existing workspace; with ``first``, refuse it if there is a key already.

        ``monthly_budget`` is one for all keys of its name; None leaves the one that they have.
        """
        ...

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a valid one, which is valid until ``revoked_at``."""
        ...

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Revoke a key from now on; an invalid key stays unchanged.

        Refused for the last valid admin key, unless there is ``another_admin`` outside the database.
        """
        ...

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        ...

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by its hash."""
        ...

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, starting after a key id; None if it has no such key."""
        ...

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Store when keys were last used; times by key id."""
        ...
