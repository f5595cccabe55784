"""Converts errors to HTTP responses: the statuses, and the middleware that makes every error JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import UrlDispatcher
from multidict import istr

from batchgate.api.context import REQUEST_ID
from batchgate.api.envelopes import ENVELOPES
from batchgate.engine.model.errors import STATUSES, BlobError, ErrorKind, RefusedError, StoreError
from batchgate.engine.model.ids import new_id
from batchgate.engine.ports.telemetry import HTTP_REQUEST_ID

logger = logging.getLogger(__name__)

KIND_BY_STATUS: Final[Mapping[int, ErrorKind]] = {status: kind for kind, status in STATUSES.items()}

DIALECT_STATUSES: Final[Mapping[tuple[str, ErrorKind], int]] = {
    ("openai", "overloaded_error"): 503,
    ("unified", "overloaded_error"): 503,
}
"""Statuses that differ in a dialect."""

STORAGE_RETRY_AFTER = "5"  # seconds
SERVER = "batchgate"
REQUEST_ID_HEADERS: Final = (istr("request-id"), istr("x-request-id"))
DIALECT_BY_PREFIX: Final = (
    ("/anthropic", "anthropic"),
    ("/v1/messages", "anthropic"),
    ("/v1/v1/messages", "anthropic"),
    ("/openai", "openai"),
    ("/v1/files", "unified"),
    ("/v1/batches", "unified"),
)
"""Path prefixes of the dialects; all other paths are the gateway's own."""


def dialect_of(path: str) -> str:
    """Return the dialect of errors at a path."""
    return next((dialect for prefix, dialect in DIALECT_BY_PREFIX if path.startswith(prefix)), "gateway")


def error_response(dialect: str, error: RefusedError, request_id: str | None) -> web.Response:
    """Return the response for an error in the format of a dialect."""
    status = error.status or DIALECT_STATUSES.get((dialect, error.kind)) or STATUSES[error.kind]
    return web.Response(
        status=status,
        body=msgspec.json.encode(ENVELOPES[dialect](error, status, request_id)),
        content_type="application/json",
        headers=error.headers,
    )


async def errors_as_json(request: web.Request, handler: Handler, router: UrlDispatcher) -> web.StreamResponse:
    """Assign a request id, and convert every error to the format of its dialect."""
    request[REQUEST_ID] = new_id("req")
    HTTP_REQUEST_ID.set(request[REQUEST_ID])
    try:
        return await handler(request)
    except (RefusedError, web.HTTPException, StoreError, BlobError) as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        # No variable refers to the error: its traceback refers to this frame, so that what the frames of the call hold,
        # such as a part of the body, would stay in memory until the next garbage collection.
        response = error_response(dialect_of(request.path), _refusal(request, error, router), request[REQUEST_ID])
    except Exception:
        logger.exception("unexpected error", extra={"action": "request_failed", "request_id": request[REQUEST_ID]})
        message = "Internal server error; the gateway's log has the details under this request id."
        refusal = RefusedError("api_error", message)
        response = error_response(dialect_of(request.path), refusal, request[REQUEST_ID])
    await add_request_id(request, response)  # aiohttp does not, if it was not routed
    return response


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Set the request id headers that the SDKs read, and the Server header."""
    request_id, headers = request.get(REQUEST_ID) or new_id("req"), response.headers
    for name in REQUEST_ID_HEADERS:
        headers[name] = request_id
    headers[hdrs.SERVER] = SERVER


def _refusal(
    request: web.Request, error: RefusedError | web.HTTPException | StoreError | BlobError, router: UrlDispatcher
) -> RefusedError:
    match error:
        case RefusedError():
            return error
        case web.HTTPNotFound():
            return RefusedError("not_found_error", f"There is nothing at {request.path}; see /openapi.json.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(_methods_of(request.path, router) or error.allowed_methods))
            message = f"{request.path} does not answer to {request.method}; it answers to {allowed}."
            return RefusedError("invalid_request_error", message, status=405, headers={"Allow": allowed})
        case web.HTTPException():
            kind = KIND_BY_STATUS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
            return RefusedError(kind, error.text or error.reason, status=error.status)
        case StoreError() | BlobError():
            logger.error("storage: %s", error, extra={"action": "storage_failed", "request_id": request[REQUEST_ID]})
            message = f"The gateway's storage is unavailable ({error}). Try again."
            return RefusedError("overloaded_error", message, headers={"Retry-After": STORAGE_RETRY_AFTER})


def _methods_of(path: str, router: UrlDispatcher) -> set[str]:
    """Return the methods of a path without parameters; one with a parameter that matches it too has others."""
    return {route.method for resource in router.resources() if resource.canonical == path for route in resource}
