"""Fetches what the answers of providers link to: over HTTPS, from public addresses, without redirects and keys.

A link comes from outside, so it must not reach the machine or its network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from msgspec import structs

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport.proxy_transport import AiohttpTransport, TransportSettings
from batchgate.providers.transport.public_addresses import AddressCheck, guarded_connector, is_allowed_url, is_public

_REFUSED: Final = "it is not an https URL of a public address"


class PublicDownloads(AiohttpTransport):
    """A `ContentTransport` for links; open it with ``async with``. ``is_allowed`` judges IP addresses."""

    def __init__(self, settings: TransportSettings | None = None, is_allowed: AddressCheck = is_public) -> None:
        super().__init__(structs.replace(settings or TransportSettings(), trust_env=False))
        self._is_allowed = is_allowed

    async def receive(self, request: UpstreamRequest, write: Callable[[bytes], Awaitable[None]]) -> UpstreamResponse:
        """Fetch a URL, and pass its content on as it arrives; see `ContentTransport`. JSON is content too."""
        if not is_allowed_url(request.url, "https", self._is_allowed):
            raise NoUpstreamAnswer("invalid_request_error", _REFUSED, status=0, retry_safe=False)
        async with self._response(request) as response:
            return await self._received(response, request, write, is_content=response.status == 200)

    def _connector(self) -> aiohttp.TCPConnector:
        return guarded_connector(self._is_allowed)
