"""Binds an operation of the spec to its handler: reads parameters and body, calls the handler, writes the response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import UnsetType

from batchgate.api.authentication import Authenticator
from batchgate.api.context import CALLER, MOUNT, OPEN_UPLOAD, OPERATION, RECHECK, SCOPES, WORKSPACE
from batchgate.api.ignored_fields import warning_headers
from batchgate.api.json_body import read_json
from batchgate.api.request_errors import refuse_input
from batchgate.engine.model.api_key import Caller
from batchgate.engine.model.errors import RefusedError
from batchgate_api.structs import OpenStruct, Operation

T = TypeVar("T")

Method = Callable[..., Awaitable[Any]]
"""A method of a handler class: ``(request, parameters[, body])``, typed by the generated Protocol."""


ITEMS_AT_ONCE = 2_000
"""Items of a list that are encoded without a pause; they take about a millisecond."""
LISTS = frozenset({"anthropic-beta", "ids[]"})
"""Parameters that may be given several times instead of once with commas: headers (RFC 9110 5.3), as the Go SDK sends
them, and queries that end in brackets, as the Anthropic SDKs do."""


def bind(operation: Operation, method: Method, authenticator: Authenticator, mount: str) -> Handler:
    """Return the aiohttp handler of an operation at one of its mounts."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request[MOUNT], request[OPERATION] = mount, operation
        if operation.authenticated:
            caller = await authenticator.authenticate(request)
            request[WORKSPACE], request[CALLER], request[SCOPES] = caller.workspace, caller.name, caller.scopes
            _require_scope(operation, caller)
        if operation.media_type is not None:
            _require_media_type(request, operation.media_type)
        parameters = read_parameters(operation, request)
        if operation.body is None:
            result = await method(request, parameters)
        else:
            recheck: Callable[[], Awaitable[None]] = partial(_recheck, authenticator, request)
            request[RECHECK] = recheck
            result = await _call_with_body(operation, method, request, parameters)
        if isinstance(result, web.StreamResponse):
            return result
        body = await _encode(result)
        return web.Response(body=body, content_type="application/json", headers=warning_headers(request))

    return handle


async def _call_with_body(operation: Operation, method: Method, request: web.Request, parameters: OpenStruct) -> Any:
    """Call a method whose request has a body, which may take long to arrive."""
    with ExitStack() as request[OPEN_UPLOAD]:
        if operation.body is None or operation.body_streamed:
            return await method(request, parameters)
        return await method(request, parameters, await read_json(request, operation.body))


def read_parameters(operation: Operation, request: web.Request) -> OpenStruct:
    """Read the declared parameters; undeclared ones are ignored, invalid ones are refused by name."""
    sent: dict[str, str] = {}
    has_query, headers = "?" in request.path_qs, request.headers
    for name, location in operation.locations.items():
        if location != "path" and name not in headers and not (has_query and name in request.query):
            continue  # as most are
        values = _values(request, name, location)
        if len(values) > 1 and name not in LISTS:
            message = f"{name}: it is given {len(values)} times; give it once"
            raise RefusedError("invalid_request_error", message, param=name)
        if values:
            sent[name] = ",".join(values)
        if not _is_utf8(sent.get(name, "")):
            raise RefusedError("invalid_request_error", f"{name}: it is not UTF-8", param=name)
    try:
        return msgspec.convert(sent, operation.parameters, strict=False)
    except msgspec.ValidationError as error:
        raise refuse_input(error, operation.parameters) from error


async def _encode(result: msgspec.Struct) -> bytes:
    """Encode an answer; a long list in pieces, between which the event loop does other work."""
    items = getattr(result, "data", None)
    if not isinstance(items, list) or len(items) <= ITEMS_AT_ONCE:
        return msgspec.json.encode(result)
    pieces = []
    for start in range(0, len(items), ITEMS_AT_ONCE):
        pieces.append(msgspec.json.encode(items[start : start + ITEMS_AT_ONCE])[1:-1])
        await asyncio.sleep(0)
    encoded = msgspec.Raw(b"[%s]" % b",".join(pieces))
    return msgspec.json.encode(msgspec.structs.replace(result, data=encoded))


def value_or_none(value: T | UnsetType) -> T | None:
    """Return an optional value, or None if it is not set."""
    return None if isinstance(value, UnsetType) else value


def _values(request: web.Request, name: str, location: str) -> list[str]:
    if location == "path":
        return [request.match_info[name]]
    values: list[str] = request.query.getall(name, []) if location.startswith("query") else []
    return values + request.headers.getall(name, []) if location.endswith("header") else values


def _is_utf8(text: str) -> bool:
    """Check that a header was UTF-8: aiohttp keeps other bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _recheck(authenticator: Authenticator, request: web.Request) -> None:
    await authenticator.authenticate(request)


def _require_scope(operation: Operation, caller: Caller) -> None:
    if set(operation.scopes).isdisjoint(caller.scopes):
        wanted, held = " or ".join(operation.scopes), ", ".join(caller.scopes)
        message = f"The API key may not do this: it needs the scope {wanted}, and has {held}."
        raise RefusedError("permission_error", message, code="missing_scope")


def _require_media_type(request: web.Request, media_type: str) -> None:
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" and content_type.endswith("+json")
    if content_type != media_type and not is_json:
        sent = repr(content_type) if content_type else "none"
        message = f"Content-Type: it must be {media_type}, and is {sent}"
        raise RefusedError("invalid_request_error", message, status=415)
