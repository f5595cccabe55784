"""Chooses the transport for each call: our own client, or aiohttp's for proxies, other methods and streamed answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
    """Sends calls with `HttpTransport`, or with `AiohttpTransport` if a trusted proxy applies.

    Only the POST of a request is frequent enough for `HttpTransport` to matter; other methods take `AiohttpTransport`.
    """

    def __init__(self, settings: TransportSettings | None = None) -> None:
        settings = settings or TransportSettings()
        self._direct: Final = HttpTransport(settings)
        self._full: Final = AiohttpTransport(settings)
        self._trust_env: Final = settings.trust_env
        self._open: Final = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the transports in the running event loop."""
        await self._open.enter_async_context(self._direct)
        await self._open.enter_async_context(self._full)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._open.aclose()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a call and return the complete response; raises `NoUpstreamAnswer` if there is none.

        A body with a byte order mark is returned as UTF-8 without one.
        """
        is_simple = request.method == "POST" and not (self._trust_env and _proxy_applies(request.url))
        response = await (self._direct if is_simple else self._full).send(request)
        if begins_with_mark(response.body):
            return replace(response, body=to_utf8(response.body, errors="replace"))
        return response

    async def receive(self, request: UpstreamRequest, write: Callable[[bytes], Awaitable[None]]) -> UpstreamResponse:
        """Send a call, and pass the content of its answer on as it arrives; see `ContentTransport`."""
        return await self._full.receive(request, write)


def _proxy_applies(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in getproxies() and not proxy_bypass(parts.netloc.rpartition("@")[2])
    except ValueError:
        return False  # an invalid URL; the transport reports it
