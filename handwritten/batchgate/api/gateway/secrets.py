"""Secrets over HTTP: store, list by name, delete; the values cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from batchgate.engine.model.secret import Secret
from batchgate.engine.model.times import rfc3339
from batchgate.engine.tenancy.secrets import Secrets
from batchgate_api import gateway, parameters


class SecretsHandler:
    """`SecretsHandlers` on the engine; ``refresh_keys`` makes this process use new values at once."""

    def __init__(self, secrets: Secrets, refresh_keys: Callable[[], Awaitable[None]]) -> None:
        self._secrets = secrets
        self._refresh_keys = refresh_keys

    async def list_secrets(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.ListSecretsParameters,  # noqa: ARG002
    ) -> gateway.SecretList:
        """List the names of the secrets."""
        return gateway.SecretList(data=[_view(secret) for secret in await self._secrets.list()])

    async def put_secret(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.PutSecretParameters,
        body: gateway.PutSecret,
    ) -> gateway.Secret:
        """Store or replace a secret."""
        secret = await self._secrets.put(parameters.name, body.value)
        await self._refresh_keys()
        return _view(secret)

    async def delete_secret(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.DeleteSecretParameters,
    ) -> gateway.DeletedSecret:
        """Delete a secret."""
        await self._secrets.delete(parameters.name)
        return gateway.DeletedSecret(name=parameters.name, deleted=True)


def _view(secret: Secret) -> gateway.Secret:
    return gateway.Secret(
        name=secret.name, created_at=rfc3339(secret.created_at), updated_at=rfc3339(secret.updated_at)
    )
