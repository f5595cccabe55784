"""What the engine needs of a store to tell tenants apart: workspaces, and the keys that open them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from batchgate.engine.model.api_key import ApiKey, ApiKeyPage
from batchgate.engine.model.workspace import QuotaUsage, Workspace, WorkspacePage


class TenantStore(Protocol):
    """Workspaces and API keys; every write is durable when its call returns. Raises `StoreError`.

    Where a rule between rows would be broken it raises `RefusedError`, and then nothing is changed.
    """

    async def ensure_workspaces(self, names: Collection[str], now: int) -> None:
        """Create those that are not there, and take those that are archived back into use."""
        ...

    async def create_workspace(self, new: Workspace) -> bool:
        """Store a workspace; False if there is, or was, one of this name."""
        ...

    async def find_workspace(self, name: str) -> Workspace | None:
        """Read a workspace; archived ones are not found."""
        ...

    async def list_workspaces(self, *, after: str | None, limit: int) -> WorkspacePage:
        """Read a page by name, from right after ``after`` on."""
        ...

    async def update_quotas(self, name: str, changes: Mapping[str, int | None]) -> Workspace | None:
        """Set some quotas of a workspace, by the names of the fields of `Quotas`."""
        ...

    async def archive_workspace(self, name: str, now: int) -> bool:
        """Take a workspace out of use; False if there is none. Refused while it has a batch, a file or a good key."""
        ...

    async def find_usage(self, workspace: str, month: str) -> QuotaUsage:
        """Read what a workspace uses."""
        ...

    async def has_keys(self) -> bool:
        """Tell if any key was ever created: from then on every call needs one."""
        ...

    async def create_key(self, new: ApiKey, *, first: bool) -> None:
        """Store a key of a workspace that is there; ``first`` says that its caller needed none, as there were none."""
        ...

    async def rotate_key(self, key_id: str, new: ApiKey, revoked_at: int) -> None:
        """Store a key that replaces a good one, which is good until ``revoked_at`` at the longest."""
        ...

    async def revoke_key(self, key_id: str, now: int, *, another_admin: bool) -> ApiKey | None:
        """Let a key be refused from now on; one that is refused already stays as it is.

        The last good one that manages keys is kept, unless there is ``another_admin`` outside of the database.
        """
        ...

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Read a key by its id."""
        ...

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:
        """Read a key by the hash of what was sent."""
        ...

    async def list_keys(self, workspace: str, *, after: str | None, limit: int) -> ApiKeyPage | None:
        """Read a page of a workspace's keys, newest first, from right after a key of it on; None if it has no such."""
        ...

    async def record_key_use(self, used: Mapping[str, int]) -> None:
        """Remember when keys were used last, by their ids."""
        ...
