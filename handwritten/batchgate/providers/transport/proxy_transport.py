"""An HTTP client with proxy support, based on aiohttp.

`AiohttpTransport` implements `engine.ports.provider.Transport`. It has no retries and no concurrency limits, as the
engine has both. It follows no redirects, which would send the key to another address, and has no cookies.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from io import BytesIO
from typing import Final, Self

import aiohttp
from msgspec import Struct

from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.aiohttp_errors import to_upstream_error

_LARGE_BODY: Final = 1024 * 1024


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

    async def __aenter__(self) -> Self:
        """Open the session in the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                limit_per_host=0,
                keepalive_timeout=self._settings.idle_timeout,
                ssl=ssl.create_default_context(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": self._settings.user_agent},
            trust_env=self._settings.trust_env,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a call and return the complete response; raises `NoUpstreamAnswer` if there is none."""
        if self._session is None:
            raise RuntimeError("the transport is not open: use it with `async with`")
        try:
            async with self._session.post(
                request.url,
                data=_sendable(request.body),
                headers=request.headers,
                timeout=_timeout(request.timeout, self._settings.connect_timeout),
                allow_redirects=False,
            ) as response:
                body = await self._read(response, request)
                headers = {name.lower(): _text(value) for name, value in response.headers.items()}
                return UpstreamResponse(status=response.status, headers=headers, body=body)
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


def _text(value: str) -> str:
    """Return a header value as valid text, for any bytes that the provider sent."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sendable(body: bytes) -> bytes | BytesIO:
    """Wrap a large body so that aiohttp writes it in blocks and does not block the event loop."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


@lru_cache(maxsize=64)
def _timeout(total: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect)
