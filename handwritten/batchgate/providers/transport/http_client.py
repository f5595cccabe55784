"""A minimal HTTP client for direct calls to providers: it uses about a sixth of the CPU time of a full client.

`HttpTransport` implements `engine.ports.provider.Transport`. It has no retries and no concurrency limits, as the engine
has both. It follows no redirects, which would send the key to another address, and has no cookies and no proxies
(`AiohttpTransport` supports proxies).
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

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.call_errors import CallFailedError, ResponseTooLargeError
from batchgate.providers.transport.content_coding import decode_body
from batchgate.providers.transport.http_connection import HttpConnection
from batchgate.providers.transport.http_request import InvalidUrlError, Origin, parse_url, request_head
from batchgate.providers.transport.idle_connections import IdleConnections
from batchgate.providers.transport.proxy_transport import TransportSettings

_NEXT_ADDRESS: Final = 0.25
"""Seconds until the next address of a host is tried in parallel (RFC 8305)."""

_READ_BUFFER: Final = 256 * 1024


class HttpTransport:
    """Sends calls over keep-alive connections; open it with ``async with``."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings: Final = settings or TransportSettings()
        self._idle: IdleConnections | None = None
        self._buffer: Final = memoryview(bytearray(_READ_BUFFER))
        self._connections: Final[set[HttpConnection]] = set()
        self._lookups: Final[dict[Origin, asyncio.Task[Sequence[AddrInfoType]]]] = {}

    async def __aenter__(self) -> Self:
        """Open the transport in the running event loop."""
        self._idle = IdleConnections(self._settings.idle_timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        for lookup in self._lookups.values():
            lookup.cancel()
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)  # the event loop closes the sockets

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a call and return the complete response; raises `NoUpstreamAnswer` if there is none."""
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
        response = await connection.exchange(head, request.body, timeout)
        if connection.usable:
            idle.put(connection)
        encoding = response.headers.get("content-encoding")
        if encoding is None:
            return response
        return structs.replace(
            response, body=await decode_body(response.body, encoding, self._settings.max_response_bytes)
        )

    async def _connect(self, origin: Origin, request: UpstreamRequest) -> HttpConnection:
        """Open a connection within the connect timeout, or within the timeout of the call if that is shorter."""
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
        if connection.usable:  # it may be closed already
            self._connections.add(connection)
        return connection

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        """Resolve the host of an origin, with one lookup for all calls that wait for it."""
        lookup = self._lookups.get(origin)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.create_task(loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM))
            lookup.add_done_callback(lambda _: self._lookups.pop(origin))
            self._lookups[origin] = lookup
        return await asyncio.shield(lookup)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The trusted certificates, loaded when the first call uses TLS."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _on_lost(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if self._idle is not None:
            self._idle.discard(connection)

    def _to_upstream_error(self, error: Exception, request: UpstreamRequest) -> NoUpstreamAnswer:
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
