"""An HTTP client with proxy support, all methods and streamed answers, based on aiohttp.

`AiohttpTransport` implements `engine.ports.provider.Transport`. It has no retries and no concurrency limits, as the
engine has both. It follows no redirects, which would send the key to another address, and has no cookies.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from io import BytesIO
from typing import Final, Self

import aiohttp
from msgspec import Struct

from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.aiohttp_errors import to_upstream_error

_LARGE_BODY: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
"""Bytes of a streamed answer that are passed on at once, at most."""
_JSON: Final = "application/json"


class TransportSettings(Struct, frozen=True, kw_only=True):
    """Network settings for all providers."""

    trust_env: bool = False
    """Use HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the process, and for calls through a proxy its ~/.netrc."""
    max_response_bytes: int = 64 * 1024 * 1024
    """Maximum size of a response body after decompression."""
    connect_timeout: float = 10.0
    """Seconds to connect to the provider, within the timeout of the whole call."""
    idle_timeout: float = 15.0
    """Seconds until an idle connection is closed."""
    user_agent: str = "batchgate"


class AiohttpTransport:
    """Sends calls over keep-alive connections; open it with ``async with``."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings: Final = settings or TransportSettings()
        self._session: aiohttp.ClientSession | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Do nothing: the session is opened for the first call, as most processes need none."""
        self._is_open = True
        return self

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, opened in the running event loop."""
        if not self._is_open:
            raise RuntimeError("the transport is not open: use it with `async with`")
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": self._settings.user_agent},
            trust_env=self._settings.trust_env,
        )

    def _connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=self._settings.idle_timeout,
            ssl=ssl.create_default_context(),
        )

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._is_open = False
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a call and return the complete response; raises `NoUpstreamAnswer` if there is none."""
        async with self._response(request) as response:
            return _without_body(response, await self._read(response, request))

    async def receive(self, request: UpstreamRequest, write: Callable[[bytes], Awaitable[None]]) -> UpstreamResponse:
        """Send a call, and pass the content of its answer on as it arrives; see `ContentTransport`."""
        async with self._response(request) as response:
            is_content = 200 <= response.status < 300 and response.content_type != _JSON
            return await self._received(response, request, write, is_content=is_content)

    async def _received(
        self,
        response: aiohttp.ClientResponse,
        request: UpstreamRequest,
        write: Callable[[bytes], Awaitable[None]],
        *,
        is_content: bool,
    ) -> UpstreamResponse:
        """Pass content on, or return the response with its body."""
        if not is_content:
            return _without_body(response, await self._read(response, request))
        async for piece in response.content.iter_chunked(_PIECE):
            await write(piece)
        return _without_body(response)

    @asynccontextmanager
    async def _response(self, request: UpstreamRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a call, and yield its response to read; its errors are translated."""
        try:
            async with self._opened().request(
                request.method,
                request.url,
                data=_sendable(request.body) if request.method == "POST" else None,
                headers=request.headers,
                timeout=_timeout(request.timeout, self._settings.connect_timeout),
                allow_redirects=False,
            ) as response:
                yield response
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise to_upstream_error(error, request) from error

    async def _read(self, response: aiohttp.ClientResponse, request: UpstreamRequest) -> bytes:
        """Read the body in blocks, and fail at the size limit."""
        blocks: list[bytes] = []
        remaining = self._settings.max_response_bytes
        while block := await response.content.readany():
            remaining -= len(block)
            if remaining < 0:
                response.close()
                raise call_errors.response_too_large(request, self._settings.max_response_bytes)
            blocks.append(block)
        return b"".join(blocks)


def _without_body(response: aiohttp.ClientResponse, body: bytes = b"") -> UpstreamResponse:
    headers = {name.lower(): _text(value) for name, value in response.headers.items()}
    return UpstreamResponse(status=response.status, headers=headers, body=body)


def _text(value: str) -> str:
    """Return a header value as valid text, for any bytes that the provider sent."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sendable(body: bytes) -> bytes | BytesIO:
    """Wrap a large body so that aiohttp writes it in blocks and does not block the event loop."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


@lru_cache(maxsize=64)
def _timeout(total: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect)
