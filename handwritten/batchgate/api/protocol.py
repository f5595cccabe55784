"""Connections and their server: malformed HTTP is answered in JSON, and neither time nor connections run out.

Below the application aiohttp would answer in plain text, and wait for clients without a limit.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from batchgate.api.access_log import ACCESS_RECORDS, AccessLog
from batchgate.api.client_timer import ClientTimer
from batchgate.api.context import HTTP_LIMITS, HTTP_METER
from batchgate.api.envelopes import ENVELOPES
from batchgate.api.errors import SERVER, dialect_of, error_response
from batchgate.api.expectation import answer_expectation
from batchgate.api.http_limits import HttpLimits
from batchgate.api.repeated_reads import REPEATED_READS, RepeatedReads
from batchgate.api.socket_options import limit_unsent, reset_connection
from batchgate.api.waiting_connections import WaitingConnections
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.ids import new_id

logger = logging.getLogger(__name__)

LONGEST_PATH: Final = 256
"""Bytes at the start of a connection that are searched for the path, which determines the dialect."""
MAX_CHECK_INTERVAL: Final = 5.0
"""Maximum seconds between two looks at the times of all connections."""
PROBES: Final = ("/health",)
PROBE_CONNECTIONS: Final = 32
"""Connections for probes alone, beyond the maximum."""
RETRY_AFTER: Final = "1"  # seconds
Respond: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_REQUEST_LINE: Final = re.compile(rb"[A-Z]+ (/[^ ?#\r\n]*)")


class JsonErrorProtocol(RequestHandler):
    """A connection that answers malformed HTTP with a JSON error, and is closed when its client takes too long."""

    __slots__ = ("_beginning", "_connection", "_server", "_timer", "probes_only")

    def __init__(self, server: JsonErrorServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self.probes_only = False
        """Whether the server is full, so that this connection may only ask for `PROBES`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._connection = transport
        self._beginning = b""
        self._timer = ClientTimer(self._server.limits, self._loop.time())
        limit_unsent(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._server.waiting.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Keep the first bytes of a connection, because aiohttp drops what it cannot parse."""
        if len(self._beginning) < LONGEST_PATH:
            self._beginning += data[:LONGEST_PATH]
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._timer.began()
            self._server.waiting.remove(self)
        elif data:
            self._timer.received(self._loop.time())

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._timer.read(self._loop.time())
        super().resume_writing()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response, then wait for the next request."""
        if self.probes_only:
            resp.force_close()
        sent = await super().finish_response(request, resp, start_time)
        if self.transport is not None and not self._messages:
            self._timer.ended(self._loop.time())
            self._server.waiting.add(self, has_served=True)
        return sent

    def close_if_overdue(self, now: float) -> None:
        """Close the connection if its client has taken too long; a part of a head is answered with 408."""
        overdue = self._timer.overdue(now, self._connection.get_write_buffer_size())
        if overdue is None:
            return
        fields = {"action": "connection_timed_out", "reason": overdue}
        logger.debug("connection closed: the client took too long (%s)", overdue, extra=fields)
        if overdue == "head" and self._beginning and not self._connection.is_closing():
            self._connection.write(_head_timeout(self._dialect(first=0), self._server.limits.head_timeout))
        self.drop()

    def drop(self) -> None:
        """Close the connection without waiting for its client."""
        self._server.waiting.remove(self)
        self.force_close()
        if self._connection.get_write_buffer_size():
            reset_connection(self._connection)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request, and close the connection."""
        request_id = new_id("req")
        if isinstance(exc, HttpProcessingError):
            reason = _reason(exc)
            logger.info("malformed HTTP from %s: %s", request.remote, reason, extra={"action": "malformed_http"})
            text = f"The request is not valid HTTP: {reason}"
            refusal = RefusedError("invalid_request_error", text, status=exc.code)
        else:
            super().handle_error(request, status, exc, message)
            refusal = RefusedError("api_error", "Internal server error.")
        response = error_response(self._dialect(first=1), refusal, request_id)
        response.headers.update({"request-id": request_id, "Server": SERVER})
        response.force_close()
        return response

    def _dialect(self, *, first: int) -> str:
        """Return the dialect of an error: by the path, which is known for the first request of a connection.

        ``first`` is the number of requests with which the error concerns the first one.
        """
        line = _REQUEST_LINE.match(self._beginning) if self._request_count == first else None
        return dialect_of(line[1].decode("latin-1")) if line else "gateway"


def _reason(error: HttpProcessingError) -> str:
    """Describe the error without the line itself, which may hold a key."""
    return "a line of its head is too long" if isinstance(error, LineTooLong) else error.message.partition("\n")[0]


def _head_timeout(dialect: str, limit: float) -> bytes:
    """Return the answer to a request whose head is incomplete; there is no request yet that aiohttp could answer."""
    request_id = new_id("req")
    refusal = RefusedError("timeout_error", f"The head of the request did not arrive within {limit:g} seconds.")
    body = msgspec.json.encode(ENVELOPES[dialect](refusal, 408, request_id))
    lines = (
        "HTTP/1.1 408 Request Timeout",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"request-id: {request_id}",
        f"Server: {SERVER}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


class JsonErrorServer(web.Server):
    """Makes a `JsonErrorProtocol` for each connection, and bounds their number.

    When there are ``max_connections``, a new one takes the place of the one that has waited longest for its client.
    If none waits, a few more are accepted that may only ask for `PROBES`.
    """

    def __init__(self, handler: Respond, *, limits: HttpLimits, max_connections: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self.limits = limits
        self.waiting: WaitingConnections[JsonErrorProtocol] = WaitingConnections()
        self._max_connections = max_connections
        shortest = min(limits.head_timeout, limits.keep_alive_timeout, limits.download_stall_timeout)
        self._check_interval = min(shortest / 4, MAX_CHECK_INTERVAL)
        self._check: asyncio.TimerHandle | None = None

    def __call__(self) -> RequestHandler:
        """Create the protocol of a new connection."""
        return JsonErrorProtocol(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection, and make room for it."""
        assert isinstance(handler, JsonErrorProtocol)
        super().connection_made(handler, transport)
        self.waiting.add(handler, has_served=False)
        if self._check is None:
            self._check = self._loop.call_later(self._check_interval, self._close_overdue)
        if len(self._connections) <= self._max_connections:
            return
        if longest := self.waiting.longest(besides=handler):
            longest.drop()
        elif len(self._connections) <= self._max_connections + PROBE_CONNECTIONS:
            handler.probes_only = True
        else:
            handler.drop()

    def pre_shutdown(self) -> None:
        """Accept no more requests."""
        if self._check is not None:
            self._check.cancel()
        super().pre_shutdown()

    def _close_overdue(self) -> None:
        now = self._loop.time()
        for connection in self.connections:
            assert isinstance(connection, JsonErrorProtocol)
            connection.close_if_overdue(now)
        self._check = self._loop.call_later(self._check_interval, self._close_overdue) if self._connections else None


class JsonErrorRunner(web.AppRunner):
    """Runs an application on a `JsonErrorServer`; aiohttp has no public API for that."""

    def __init__(self, app: web.Application, *, max_connections: int | None = None, **options: Any) -> None:
        super().__init__(app, **options)
        self._limits = app[HTTP_LIMITS]
        self._max_connections = max_connections or self._limits.max_connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        # Around the whole application, because aiohttp answers an Expect header before any middleware.
        respond = partial(_respond, repeated=self.app[REPEATED_READS], handler=made.request_handler)
        handler = partial(answer_expectation, handler=respond, router=self.app.router)
        access_log = partial(AccessLog, meter=self.app[HTTP_METER], records=self.app[ACCESS_RECORDS])
        options = {**made._kwargs, "access_log": logger, "access_log_class": access_log}  # noqa: SLF001
        return JsonErrorServer(
            handler,
            limits=self._limits,
            max_connections=self._max_connections,
            request_factory=made.request_factory,
            **options,
        )


async def _respond(request: web.Request, repeated: RepeatedReads, handler: Handler) -> web.StreamResponse:
    """Answer a request; while the server has all connections that it may have, refuse all but probes."""
    connection = request.protocol
    if isinstance(connection, JsonErrorProtocol) and connection.probes_only and request.path not in PROBES:
        message = "The gateway has as many connections as it may have. Try again."
        raise RefusedError("overloaded_error", message, headers={"Retry-After": RETRY_AFTER})
    return await repeated.answer(request, handler)
