"""What is no HTTP at all is answered in JSON too: aiohttp writes such answers below the application, as plain text."""

from __future__ import annotations

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from batchgate.api.errors import KINDS, error_response
from batchgate.engine.errors import RefusedError
from batchgate.engine.ids import new_id


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
        plain = super().handle_error(request, status, exc, message)
        kind = KINDS.get(plain.status, "invalid_request_error" if plain.status < 500 else "api_error")
        reason = (message or plain.reason or "").partition("\n")[0]
        request_id = new_id("req")
        refusal = RefusedError(kind, f"The request is not valid HTTP: {reason}", status=plain.status)
        response = error_response("anthropic", refusal, request_id)
        response.headers["request-id"] = request_id
        response.force_close()
        return response


class JsonErrorServer(web.Server):
    """Makes a `JsonErrorProtocol` for each connection."""

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return JsonErrorProtocol(self, loop=self._loop, **self._kwargs)


class JsonErrorRunner(web.AppRunner):
    """Runs an application on a `JsonErrorServer`; aiohttp has no public door for that."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return JsonErrorServer(made.request_handler, request_factory=made.request_factory, **made._kwargs)  # noqa: SLF001
