"""The way to a provider over the network, and the one place that knows aiohttp's exceptions.

`AiohttpTransport` fulfils `engine.model.provider_call.Transport`. It carries bytes and nothing else:
no retries, no limits on concurrency (the engine has both), no redirects (a provider that redirects
would be handed the caller's key again at another address), no cookies.
"""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from io import BytesIO
from typing import Final, Self

import aiohttp
from msgspec import Struct

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport import call_errors

_LARGE_BODY: Final = 1024 * 1024

_REASONS: Final[dict[type[Exception], str]] = {
    aiohttp.ClientConnectorDNSError: call_errors.NAME_NOT_RESOLVED,
    aiohttp.ClientSSLError: call_errors.TLS_FAILED,
    aiohttp.ServerDisconnectedError: call_errors.CLOSED_EARLY,
    aiohttp.ClientPayloadError: call_errors.ENDED_EARLY,
    aiohttp.ClientResponseError: call_errors.NOT_HTTP,
}
"""What an exception means to an operator; the first that fits, so special ones come first."""


class TransportSettings(Struct, frozen=True, kw_only=True):
    """How the network is used, whatever the provider."""

    trust_env: bool = False
    """Use HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the process, and for calls through a proxy its ~/.netrc."""
    max_response_bytes: int = 64 * 1024 * 1024
    """The most that an answer may have, counted after decompression."""
    connect_timeout: float = 10.0
    """Seconds to reach the provider, within the timeout of the whole call."""
    idle_timeout: float = 15.0
    """Seconds for which a connection that no call uses stays open."""
    user_agent: str = "batchgate"


class AiohttpTransport:
    """Carries calls over keep-alive connections; open it with ``async with``."""

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
            raise _to_upstream_error(error, request) from error

    async def _read(self, response: aiohttp.ClientResponse, request: UpstreamRequest) -> bytes:
        """Read the body piece by piece, so that an endless one is given up at the bound."""
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
    """Make a header's value text that can be written again, whatever bytes a provider has put into it."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sendable(body: bytes) -> bytes | BytesIO:
    """Let a large body be written in blocks, so that it does not hold up the event loop."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


@lru_cache(maxsize=64)
def _timeout(total: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect)


def _to_upstream_error(error: Exception, request: UpstreamRequest) -> UpstreamUnreachable:
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return call_errors.invalid_url()
        case aiohttp.ConnectionTimeoutError():
            return call_errors.connect_timeout_error(request)
        case TimeoutError():
            return call_errors.response_timeout(request)
        case aiohttp.ClientConnectorError():
            return call_errors.connect_error(request, _reason(error))
        case ValueError():
            return call_errors.invalid_header(request)
        case _:
            return call_errors.call_failed(request, _reason(error))


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as refused):
            return call_errors.certificate_error(refused)
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
