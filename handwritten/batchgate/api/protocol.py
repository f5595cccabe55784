"""Answers malformed HTTP in JSON; aiohttp answers it below the application, as plain text."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from batchgate.api import access_log
from batchgate.api.errors import SERVER, dialect_of, error_response
from batchgate.api.expectation import answer_expectation
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.ids import new_id

logger = logging.getLogger(__name__)

LONGEST_PATH: Final = 256
"""Bytes at the start of a connection that are searched for the path, which determines the dialect."""
MAX_UNSENT: Final = 128 * 1024
"""Bytes of a response in the kernel that the client's window has no room for."""
_REQUEST_LINE: Final = re.compile(rb"[A-Z]+ (/[^ ?#\r\n]*)")


class JsonErrorProtocol(RequestHandler):
    """A connection that answers malformed HTTP with a JSON error."""

    __slots__ = ("_beginning",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the connection."""
        self._beginning = b""
        _limit_unsent(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Keep the first bytes of a connection, because aiohttp drops what it cannot parse."""
        if len(self._beginning) < LONGEST_PATH:
            self._beginning += data[:LONGEST_PATH]
        super().data_received(data)

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
        response = error_response(self._dialect(), refusal, request_id)
        response.headers.update({"request-id": request_id, "Server": SERVER})
        response.force_close()
        return response

    def _dialect(self) -> str:
        """Return the dialect of the error: by the path, which is known for the first request of a connection."""
        first = _REQUEST_LINE.match(self._beginning) if self._request_count == 1 else None
        return dialect_of(first[1].decode("latin-1")) if first else "gateway"


def _limit_unsent(transport: asyncio.BaseTransport) -> None:
    """Let the kernel hold only so much of a connection that has not been sent; what is on its way is not limited."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, MAX_UNSENT)


def _reason(error: HttpProcessingError) -> str:
    """Describe the error without the line itself, which may hold a key."""
    return "a line of its head is too long" if isinstance(error, LineTooLong) else error.message.partition("\n")[0]


class JsonErrorServer(web.Server):
    """Makes a `JsonErrorProtocol` for each connection."""

    def __call__(self) -> RequestHandler:
        """Create the protocol of a new connection."""
        return JsonErrorProtocol(self, loop=self._loop, **self._kwargs)


class JsonErrorRunner(web.AppRunner):
    """Runs an application on a `JsonErrorServer`; aiohttp has no public API for that."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        # Around the whole application, because aiohttp answers an Expect header before any middleware.
        handler = partial(answer_expectation, handler=made.request_handler, router=self.app.router)
        options = {**made._kwargs, "access_log": access_log.logger, "access_log_class": access_log.AccessLog}  # noqa: SLF001
        return JsonErrorServer(handler, request_factory=made.request_factory, **options)
