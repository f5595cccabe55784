"""The HTTP responses that an SDK gets: for a result of a batch, or for an error of the gateway; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx2

from batchgate_streams.errors import GatewayRefused, StreamsError, UnusableAnswer
from batchgate_streams.rows import Row

STATUSES: Final = {
    "invalid_request_error": HTTPStatus.BAD_REQUEST,
    "authentication_error": HTTPStatus.UNAUTHORIZED,
    "billing_error": HTTPStatus.PAYMENT_REQUIRED,
    "permission_error": HTTPStatus.FORBIDDEN,
    "not_found_error": HTTPStatus.NOT_FOUND,
    "request_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "rate_limit_error": HTTPStatus.TOO_MANY_REQUESTS,
    "timeout_error": HTTPStatus.GATEWAY_TIMEOUT,
    "overloaded_error": 529,
}
"""The status that Anthropic sends with each type of error; of all others it is 500."""
_EXPIRED: Final = "the batch expired before this request was sent"
_CANCELED: Final = "the batch was canceled before this request was sent"


@dataclass(frozen=True)
class Reply:
    """A response; of an error, its headers tell the SDKs not to call again, since a call may wait for hours."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, request: httpx2.Request) -> httpx2.Response:
        """Return it as the response of a request."""
        headers = {"content-type": "application/json", **self.headers}
        if self.status >= HTTPStatus.BAD_REQUEST:
            headers["x-should-retry"] = "false"
        return httpx2.Response(self.status, headers=headers, content=self.body, request=request)


def error_reply(path: str, status: int, message: str, kind: str | None = None) -> Reply:
    """Return an error in the envelope of the API that ``path`` belongs to."""
    types = {number: name for name, number in STATUSES.items()}
    error: dict[str, Any] = {"type": kind or types.get(status, "api_error"), "message": message}
    if path.endswith("/messages"):
        return Reply(status, json.dumps({"type": "error", "error": error}).encode())
    return Reply(status, json.dumps({"error": error | {"param": None, "code": kind}}).encode())


def failure_reply(path: str, error: StreamsError) -> Reply:
    """Return the reply for a batch that could not be created or followed."""
    if isinstance(error, GatewayRefused):
        return error_reply(path, error.status, error.refusal.message, error.refusal.type)
    return error_reply(path, HTTPStatus.SERVICE_UNAVAILABLE, f"Batchgate: {error}")


def reply_of(row: Row) -> Reply:
    """Return what the SDK would have got for a single call; raises `UnusableAnswer` for what is not a result."""
    match row:
        case {"response": {"status_code": int(status), "body": body, **more}}:
            return Reply(status, json.dumps(body).encode(), _id_header("x-request-id", more.get("request_id")))
        case {"error": {"code": str(code), "message": str(message)}}:
            status = HTTPStatus.GATEWAY_TIMEOUT if code == "batch_expired" else HTTPStatus.GONE
            return error_reply("", status, message, code)
        case {"result": {"type": "succeeded", "message": message}}:
            return Reply(HTTPStatus.OK, json.dumps(message).encode())
        case {"result": {"type": "errored", "error": {"error": {"type": str(kind)}} as envelope}}:
            status = STATUSES.get(kind, HTTPStatus.INTERNAL_SERVER_ERROR)
            return Reply(status, json.dumps(envelope).encode(), _id_header("request-id", envelope.get("request_id")))
        case {"result": {"type": "expired"}}:
            return error_reply("/messages", HTTPStatus.GATEWAY_TIMEOUT, _EXPIRED)
        case {"result": {"type": "canceled"}}:
            return error_reply("/messages", HTTPStatus.GONE, _CANCELED)
    raise UnusableAnswer(f"{row.get('custom_id')!r} has no result that this version knows")


def _id_header(name: str, request_id: object) -> dict[str, str]:
    return {name: request_id} if isinstance(request_id, str) else {}
