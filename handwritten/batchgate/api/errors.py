"""Errors as HTTP answers: one table of statuses, one envelope a dialect, one middleware that makes every error JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from batchgate.api.context import REQUEST_ID
from batchgate.engine.errors import BlobError, ErrorKind, RefusedError, StoreError
from batchgate.engine.ids import new_id
from batchgate.engine.telemetry import HTTP_REQUEST_ID
from batchgate_api import anthropic, gateway

logger = logging.getLogger(__name__)

STATUSES: Final[Mapping[ErrorKind, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The documented status of each kind (batch-apis 1.7); an error may name a closer one."""

KINDS: Final[Mapping[int, ErrorKind]] = {status: kind for kind, status in STATUSES.items()}

STORAGE_RETRY_AFTER = "5"  # seconds
SERVER = "batchgate"
ANTHROPIC_PREFIXES = ("/anthropic", "/v1/messages", "/v1/v1/messages")


def dialect_of(path: str) -> str:
    """Tell in whose envelope an error at a path is written."""
    return "anthropic" if path.startswith(ANTHROPIC_PREFIXES) else "gateway"


def error_response(dialect: str, error: RefusedError, request_id: str | None) -> web.Response:
    """Write an error in the envelope of a dialect."""
    envelope: anthropic.ErrorResponse | gateway.GatewayError
    if dialect == "anthropic":
        details = anthropic.ErrorDetails(error_code=error.code) if error.code else msgspec.UNSET
        body = anthropic.ErrorBody(type=error.kind, message=error.message, details=details)
        envelope = anthropic.ErrorResponse(type="error", error=body, request_id=request_id)
    else:
        refusal = gateway.GatewayErrorBody(type=error.kind, message=error.message)
        envelope = gateway.GatewayError(type="error", error=refusal, request_id=request_id)
    return web.Response(
        status=error.status or STATUSES[error.kind],
        body=msgspec.json.encode(envelope),
        content_type="application/json",
        headers=error.headers,
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id, and every error, whoever raised it, the envelope of its dialect."""
    request[REQUEST_ID] = new_id("req")
    HTTP_REQUEST_ID.set(request[REQUEST_ID])
    try:
        return await handler(request)
    except (RefusedError, web.HTTPException, StoreError, BlobError) as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        refusal = _refusal(request, error)
    except Exception:
        logger.exception("unexpected error", extra={"action": "request_failed", "request_id": request[REQUEST_ID]})
        refusal = RefusedError("api_error", "Internal server error; the gateway's log has it under this request id.")
    return error_response(dialect_of(request.path), refusal, request[REQUEST_ID])


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Put the id of the request on every response, streamed ones included, and our name instead of aiohttp's."""
    response.headers["request-id"] = request.get(REQUEST_ID) or new_id("req")
    response.headers["Server"] = SERVER


def _refusal(request: web.Request, error: RefusedError | web.HTTPException | StoreError | BlobError) -> RefusedError:
    match error:
        case RefusedError():
            return error
        case web.HTTPNotFound():
            return RefusedError("not_found_error", f"There is nothing at {request.path}; see /openapi.json.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{request.path} does not answer to {request.method}; it answers to {allowed}."
            return RefusedError("invalid_request_error", message, status=405, headers={"Allow": allowed})
        case web.HTTPException():
            kind = KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
            return RefusedError(kind, error.text or error.reason, status=error.status)
        case StoreError() | BlobError():
            logger.error("storage: %s", error, extra={"action": "storage_failed", "request_id": request[REQUEST_ID]})
            message = f"The gateway's storage is not well ({error}). Try again."
            return RefusedError("overloaded_error", message, headers={"Retry-After": STORAGE_RETRY_AFTER})
