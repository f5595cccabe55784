"""The way to a provider over the network, straight and lean: about a sixth of the processor time of a full client.

`HttpTransport` fulfils `engine.model.provider_call.Transport` and carries bytes and nothing else: no retries, no limits
on concurrency (the engine has both), no redirects (a provider that redirects would be handed the caller's key again at
another address), no cookies, no proxies (`AiohttpTransport` knows these).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self

from aiohappyeyeballs import AddrInfoType, start_connection
from msgspec import structs

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.call_errors import CallFailedError, ResponseTooLargeError
from batchgate.providers.transport.content_coding import decode_body
from batchgate.providers.transport.http_connection import HttpConnection
from batchgate.providers.transport.http_request import InvalidUrlError, Origin, parse_url, request_head
from batchgate.providers.transport.idle_connections import IdleConnections
from batchgate.providers.transport.proxy_transport import TransportSettings

_NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address of a host is tried beside the one before (RFC 8305)."""

_READ_BUFFER: Final = 256 * 1024


class HttpTransport:
    """Carries calls over keep-alive connections; open it with ``async with``."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings: Final = settings or TransportSettings()
        self._idle: IdleConnections | None = None
        self._buffer: Final = memoryview(bytearray(_READ_BUFFER))
        self._connections: Final[set[HttpConnection]] = set()
        self._lookups: Final[dict[Origin, asyncio.Task[Sequence[AddrInfoType]]]] = {}

    async def __aenter__(self) -> Self:
        """Make ready in the running event loop."""
        self._idle = IdleConnections(self._settings.idle_timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        for lookup in self._lookups.values():
            lookup.cancel()
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)  # the event loop closes the sockets

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and wait for the whole answer; raises `UpstreamUnreachable` when none comes."""
        if self._idle is None:
            raise RuntimeError("the transport is not open: use it with `async with`")
        try:
            return await self._send(self._idle, request)
        except (CallFailedError, TimeoutError, ResponseTooLargeError, ValueError) as error:
            raise self._to_upstream_error(error, request) from error

    async def _send(self, idle: IdleConnections, request: UpstreamRequest) -> UpstreamResponse:
        origin = parse_url(request.url).origin
        head = request_head(request.url, request.headers, len(request.body), self._settings.user_agent)
        timeout = request.timeout
        connection = idle.take(origin)
        if connection is None:
            loop = asyncio.get_running_loop()
            started = loop.time()
            connection = await self._connect(origin, request)
            timeout -= loop.time() - started
        answer = await connection.exchange(head, request.body, timeout)
        if connection.usable:
            idle.put(connection)
        coding = answer.headers.get("content-encoding")
        if coding is None:
            return answer
        return structs.replace(answer, body=await decode_body(answer.body, coding, self._settings.max_response_bytes))

    async def _connect(self, origin: Origin, request: UpstreamRequest) -> HttpConnection:
        """Open a connection within the time for connecting, and within that of the whole call if it is shorter."""
        try:
            async with asyncio.timeout(min(request.timeout, self._settings.connect_timeout)):
                return await self._open_connection(origin)
        except TimeoutError as error:
            if request.timeout <= self._settings.connect_timeout:
                raise
            raise call_errors.connect_timeout_error(request) from error
        except (OSError, UnicodeError) as error:
            raise call_errors.connect_error(request, _reason(error)) from error

    async def _open_connection(self, origin: Origin) -> HttpConnection:
        opened = await start_connection(await self._addresses(origin), happy_eyeballs_delay=_NEXT_ADDRESS)
        secure = origin.scheme == "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HttpConnection(origin, self._buffer, self._settings.max_response_bytes, self._on_lost),
            sock=opened,
            ssl=self._tls if secure else None,
            server_hostname=origin.host if secure else None,
        )
        if connection.usable:  # it may be lost already
            self._connections.add(connection)
        return connection

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Look up where an origin is, once for all calls that wait for it."""
        lookup = self._lookups.get(origin)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.create_task(loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM))
            lookup.add_done_callback(lambda _: self._lookups.pop(origin))
            self._lookups[origin] = lookup
        return await asyncio.shield(lookup)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Whom to trust: read once, when the first provider asks for TLS."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _on_lost(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if self._idle is not None:
            self._idle.discard(connection)

    def _to_upstream_error(self, error: Exception, request: UpstreamRequest) -> UpstreamUnreachable:
        match error:
            case InvalidUrlError():
                return call_errors.invalid_url()
            case ValueError():
                return call_errors.invalid_header(request)
            case TimeoutError():
                return call_errors.response_timeout(request)
            case ResponseTooLargeError():
                return call_errors.response_too_large(request, self._settings.max_response_bytes)
            case _:
                return call_errors.call_failed(request, str(error))


def _reason(error: OSError | UnicodeError) -> str:
    match error:
        case socket.gaierror() | UnicodeError():
            return call_errors.NAME_NOT_RESOLVED
        case ssl.SSLCertVerificationError():
            return call_errors.certificate_error(error)
        case ssl.SSLError():
            return call_errors.TLS_FAILED
        case _:
            return os.strerror(error.errno) if error.errno else type(error).__name__
