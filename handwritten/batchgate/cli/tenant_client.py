"""The commands' client for workspaces and API keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, TypeVar

import msgspec

from batchgate.cli.gateway_client import GatewayClient, encoded
from batchgate_api.gateway import (
    ArchivedWorkspace,
    CreatedKey,
    CreateKey,
    CreateWorkspace,
    Key,
    KeyList,
    QuotaChanges,
    RotateKey,
    UpdateKey,
    UpdateWorkspace,
    Workspace,
    WorkspaceList,
)

T = TypeVar("T")

WORKSPACES: Final = "/api/workspaces"
KEYS: Final = "/api/keys"
PAGE: Final = "1000"


class TenantClient:
    """Manages workspaces and keys through a `GatewayClient`."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def create_workspace(self, name: str, quotas: QuotaChanges) -> Workspace:
        """Create a workspace."""
        return await self._client.send("POST", WORKSPACES, CreateWorkspace(name=name, quotas=quotas), Workspace)

    async def workspace(self, name: str) -> Workspace:
        """Read a workspace with its usage."""
        return await self._client.ask("GET", f"{WORKSPACES}/{encoded(name)}", Workspace)

    async def update_workspace(self, name: str, quotas: QuotaChanges) -> Workspace:
        """Change the quotas of a workspace."""
        return await self._client.send(
            "PATCH", f"{WORKSPACES}/{encoded(name)}", UpdateWorkspace(quotas=quotas), Workspace
        )

    async def archive_workspace(self, name: str) -> ArchivedWorkspace:
        """Archive a workspace."""
        return await self._client.ask("DELETE", f"{WORKSPACES}/{encoded(name)}", ArchivedWorkspace)

    async def workspaces(self) -> AsyncIterator[Workspace]:
        """Read all workspaces by name."""
        more, query = True, {"limit": PAGE}
        while more:
            page = await self._client.ask("GET", WORKSPACES, WorkspaceList, query=query)
            for workspace in page.data:
                yield workspace
            more, query = page.has_more, _after(page.last_id)

    async def create_key(self, workspace: str, options: CreateKey) -> CreatedKey:
        """Create a key."""
        return await self._client.send("POST", f"{WORKSPACES}/{encoded(workspace)}/keys", options, CreatedKey)

    async def keys(self, workspace: str) -> AsyncIterator[Key]:
        """Read all keys of a workspace, newest first."""
        more, query = True, {"limit": PAGE}
        while more:
            page = await self._client.ask("GET", f"{WORKSPACES}/{encoded(workspace)}/keys", KeyList, query=query)
            for key in page.data:
                yield key
            more, query = page.has_more, _after(page.last_id)

    async def update_key(self, key_id: str, monthly_budget_usd: float | None) -> Key:
        """Change the monthly budget of a key."""
        body = UpdateKey(monthly_budget_usd=monthly_budget_usd)
        return await self._client.send("PATCH", f"{KEYS}/{encoded(key_id)}", body, Key)

    async def rotate_key(self, key_id: str, grace: int) -> CreatedKey:
        """Replace a key."""
        return await self._client.send(
            "POST", f"{KEYS}/{encoded(key_id)}/rotate", RotateKey(grace_seconds=grace), CreatedKey
        )

    async def revoke_key(self, key_id: str) -> Key:
        """Revoke a key."""
        return await self._client.ask("DELETE", f"{KEYS}/{encoded(key_id)}", Key)


def _after(last: str | None) -> dict[str, str]:
    return {"limit": PAGE} | ({} if last is None else {"after": last})


def quota_changes(quotas: Mapping[str, object]) -> QuotaChanges:
    """Build the change of the given quotas; ``none`` removes a quota."""
    given = {name: None if value == "none" else value for name, value in quotas.items() if value is not None}
    return msgspec.convert(given, QuotaChanges)
