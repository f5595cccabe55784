"""The commands' client for accounts and models."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.cli.gateway_client import GatewayClient, encoded
from batchgate_api.gateway import Account, AccountList, AccountTest, Model, ModelList


class AccountClient:
    """Reads accounts and models, and tests accounts, through a `GatewayClient`."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def accounts(self) -> Sequence[Account]:
        """Read all accounts, in the order of the settings."""
        return (await self._client.ask("GET", "/api/accounts", AccountList)).data

    async def test(self, account: str, model: str | None) -> AccountTest:
        """Let the gateway make one small call to an account."""
        query = None if model is None else {"model": model}
        return await self._client.ask("POST", f"/api/accounts/{encoded(account)}/test", AccountTest, query=query)

    async def models(self) -> Sequence[Model]:
        """Read the models that were used lately or have a price in the settings."""
        return (await self._client.ask("GET", "/api/models", ModelList)).data
