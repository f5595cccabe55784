"""The way to a provider over the network, and the one place that knows aiohttp's exceptions.

`AiohttpTransport` fulfils `batchgate.engine.upstream.Transport`. It carries bytes and nothing else:
no retries, no limits on concurrency (the engine has both), no redirects (a provider that redirects
would be handed the caller's key again at another address), no cookies.
"""

from __future__ import annotations

import os
from functools import lru_cache
from io import BytesIO
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from batchgate.engine.errors import UpstreamDown, UpstreamUnreachable
from batchgate.engine.upstream import UpstreamRequest, UpstreamResponse

_LARGE_BODY: Final = 1024 * 1024

_REASONS: Final[dict[type[Exception], str]] = {
    aiohttp.ClientConnectorDNSError: "its name does not resolve",
    aiohttp.ClientConnectorCertificateError: "its certificate is not trusted",
    aiohttp.ClientSSLError: "TLS failed",
    aiohttp.ServerDisconnectedError: "it closed the connection before it answered",
    aiohttp.ClientPayloadError: "the answer ended early or cannot be decoded",
    aiohttp.ClientResponseError: "the answer is not HTTP",
}
"""What an exception means to an operator; the first that fits, so special ones come first."""


class TransportSettings(Struct, frozen=True, kw_only=True):
    """How the network is used, whatever the provider."""

    trust_env: bool = False
    """Use HTTP_PROXY, HTTPS_PROXY, NO_PROXY and ~/.netrc of the process."""
    max_response_bytes: int = 64 * 1024 * 1024
    """The most that an answer may have, counted after decompression."""
    connect_timeout: float = 10.0
    """Seconds to reach the provider, within the timeout of the whole call."""
    user_agent: str = "batchgate"


class AiohttpTransport:
    """Carries calls over keep-alive connections; open it with ``async with``."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings: Final = settings or TransportSettings()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session in the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": self._settings.user_agent},
            trust_env=self._settings.trust_env,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and wait for the whole answer; raises `UpstreamUnreachable` when none comes."""
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
            raise _translated(error, request) from error

    async def _read(self, response: aiohttp.ClientResponse, request: UpstreamRequest) -> bytes:
        """Read the body piece by piece, so that an endless one is given up at the bound."""
        blocks: list[bytes] = []
        room = self._settings.max_response_bytes
        while block := await response.content.readany():
            room -= len(block)
            if room < 0:
                response.close()
                limit = self._settings.max_response_bytes
                message = f"the answer of {_host(request)} has more than {limit} bytes"
                raise _unreachable(message, retry_safe=False)
            blocks.append(block)
        return b"".join(blocks)


def _text(value: str) -> str:
    """Make a header's value text that can be written again, whatever bytes a provider has put into it."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sendable(body: bytes) -> bytes | BytesIO:
    """Let a large body be written in blocks, so that it does not hold up the event loop."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


@lru_cache(maxsize=64)
def _timeout(total: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect)


def _translated(error: Exception, request: UpstreamRequest) -> UpstreamUnreachable:
    """Say what happened without quoting the exception, whose text may hold the URL or a header."""
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return _unreachable("the URL of the provider is not valid", retry_safe=False)
        case aiohttp.ConnectionTimeoutError():
            message = f"no connection to {_host(request)} in time"
            return UpstreamDown("timeout_error", message, status=0, retry_safe=True)
        case TimeoutError():
            message = f"no whole answer from {_host(request)} within {request.timeout:g} s"
            return UpstreamUnreachable("timeout_error", message, status=0, retry_safe=True)
        case aiohttp.ClientConnectorError():
            message = f"cannot connect to {_host(request)}: {_reason(error)}"
            return UpstreamDown("api_error", message, status=0, retry_safe=True)
        case ValueError():
            message = f"the call to {_host(request)} has a header that HTTP cannot carry"
            return _unreachable(message, retry_safe=False)
        case _:
            return _unreachable(f"the call to {_host(request)} broke: {_reason(error)}")


def _unreachable(message: str, *, retry_safe: bool = True) -> UpstreamUnreachable:
    return UpstreamUnreachable("api_error", message, status=0, retry_safe=retry_safe)


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def _host(request: UpstreamRequest) -> str:
    """Name the host and port of the call, without the credentials or the query that a URL may hold."""
    return urlsplit(request.url).netloc.rpartition("@")[2]
