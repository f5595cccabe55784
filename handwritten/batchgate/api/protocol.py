"""What is no HTTP at all is answered in JSON too: aiohttp writes such answers below the application, as plain text."""

from __future__ import annotations

import logging
from functools import partial

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from batchgate.api import access_log
from batchgate.api.errors import SERVER, error_response, errors_as_json
from batchgate.engine.errors import RefusedError
from batchgate.engine.ids import new_id

logger = logging.getLogger(__name__)


class JsonErrorProtocol(RequestHandler):
    """A connection that answers malformed HTTP with a JSON error."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read as a request, and close the connection."""
        request_id = new_id("req")
        if isinstance(exc, HttpProcessingError):
            reason = _reason(exc)
            logger.info("malformed HTTP from %s: %s", request.remote, reason, extra={"action": "malformed_http"})
            text = f"The request is not valid HTTP: {reason}"
            refusal = RefusedError("invalid_request_error", text, status=exc.code)
        else:
            super().handle_error(request, status, exc, message)
            refusal = RefusedError("api_error", "Internal server error.")
        response = error_response("anthropic", refusal, request_id)
        response.headers.update({"request-id": request_id, "Server": SERVER})
        response.force_close()
        return response


def _reason(error: HttpProcessingError) -> str:
    """Say what is malformed without the line itself, which may hold a key."""
    return "a line of its head is too long" if isinstance(error, LineTooLong) else error.message.partition("\n")[0]


class JsonErrorServer(web.Server):
    """Makes a `JsonErrorProtocol` for each connection."""

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return JsonErrorProtocol(self, loop=self._loop, **self._kwargs)


class JsonErrorRunner(web.AppRunner):
    """Runs an application on a `JsonErrorServer`; aiohttp has no public door for that."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        # Around the whole application, since an Expect header is refused before any of its middlewares.
        handler = partial(errors_as_json, handler=made.request_handler)
        told = {**made._kwargs, "access_log": access_log.logger, "access_log_class": access_log.AccessLog}  # noqa: SLF001
        return JsonErrorServer(handler, request_factory=made.request_factory, **told)
