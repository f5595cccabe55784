"""Posts events to the URLs of webhooks: to public addresses over HTTPS, and to networks that the operator allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Self

import aiohttp

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.providers.transport.proxy_transport import AiohttpTransport, TransportSettings
from batchgate.providers.transport.public_addresses import AddressCheck, guarded_connector, is_allowed_url, is_public

TIMEOUT: Final = 15.0
"""Seconds until a receiver must have answered."""
_REFUSED: Final = (
    "it must be an https URL of a public address or a valid host name, without a user and a password; the setting"
    " webhook_networks allows other networks, there also http"
)


class HttpWebhookSender:
    """A `WebhookSender`; open it with ``async with``. ``networks``: those that may be reached beside the internet."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        def is_in_network(address: str) -> bool:
            found = _parsed(address)
            return found is not None and any(found in network for network in networks)

        self._clients = {"https": _GuardedClient("https", lambda found: is_public(found) or is_in_network(found))}
        if networks:
            self._clients["http"] = _GuardedClient("http", is_in_network)

    async def __aenter__(self) -> Self:
        """Open both clients."""
        for client in self._clients.values():
            await client.__aenter__()
        return self

    async def __aexit__(self, *exit_arguments: object) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.__aexit__(*exit_arguments)

    def refusal(self, url: str) -> str | None:
        """Return why a URL is never called; None if it may be called."""
        return _REFUSED if self._client(url) is None else None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post a body, and return the status of the answer."""
        client = self._client(url)
        if client is None:
            raise NoUpstreamAnswer("invalid_request_error", _REFUSED, status=0, retry_safe=False)
        return await client.post(UpstreamRequest(url=url, headers=dict(headers), body=body, timeout=TIMEOUT))

    def _client(self, url: str) -> _GuardedClient | None:
        """Return the client that may call a URL."""
        return next((client for client in self._clients.values() if client.may_call(url)), None)


class _GuardedClient(AiohttpTransport):
    """Calls the URLs of one scheme at the allowed addresses."""

    def __init__(self, scheme: str, is_allowed: AddressCheck) -> None:
        super().__init__(TransportSettings(trust_env=False))
        self._scheme = scheme
        self._is_allowed = is_allowed

    def may_call(self, url: str) -> bool:
        """Return whether a URL may be called, as far as it shows without resolving its name."""
        return is_allowed_url(url, self._scheme, self._is_allowed)

    async def post(self, request: UpstreamRequest) -> int:
        """Send a call; the body of its answer is not read."""
        async with self._response(request) as response:
            return response.status

    def _connector(self) -> aiohttp.TCPConnector:
        return guarded_connector(self._is_allowed)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
