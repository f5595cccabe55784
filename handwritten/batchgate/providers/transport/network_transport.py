"""Chooses the transport for each URL: direct, or through the proxy that the environment names."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec.structs import replace

from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.text_encoding import begins_with_mark, to_utf8
from batchgate.providers.transport.http_client import HttpTransport
from batchgate.providers.transport.proxy_transport import AiohttpTransport, TransportSettings


class NetworkTransport:
    """Sends calls with `HttpTransport`, or with `AiohttpTransport` if a trusted proxy applies."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        settings = settings or TransportSettings()
        self._direct: Final = HttpTransport(settings)
        self._proxied: Final = AiohttpTransport(settings) if settings.trust_env else None
        self._open: Final = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the transports in the running event loop."""
        await self._open.enter_async_context(self._direct)
        if self._proxied is not None:
            await self._open.enter_async_context(self._proxied)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._open.aclose()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a call and return the complete response; raises `NoUpstreamAnswer` if there is none.

        A body with a byte order mark is returned as UTF-8 without one.
        """
        proxied = self._proxied if self._proxied is not None and _proxy_applies(request.url) else None
        response = await (proxied or self._direct).send(request)
        if begins_with_mark(response.body):
            return replace(response, body=to_utf8(response.body, errors="replace"))
        return response


def _proxy_applies(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in getproxies() and not proxy_bypass(parts.netloc.rpartition("@")[2])
    except ValueError:
        return False  # an invalid URL; the transport reports it
