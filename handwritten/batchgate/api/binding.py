"""Binds an operation of the spec to its handler: reads parameters and body, calls the handler, writes the response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import UnsetType

from batchgate.api.access_log import LOGGED_CALL, LoggedCall, logged_id
from batchgate.api.answer_encoding import encode_answer
from batchgate.api.authentication import Authenticator
from batchgate.api.context import CALLER, MOUNT, OPEN_UPLOAD, OPERATION, RECHECK, SCOPES, WORKSPACE
from batchgate.api.ignored_fields import warning_headers
from batchgate.api.json_answer import JsonAnswer
from batchgate.api.json_body import read_json
from batchgate.api.parameter_reader import OWN_API, ParameterReader
from batchgate.api.repeated_reads import is_repeatable
from batchgate.engine.model.api_key import Caller
from batchgate.engine.model.errors import RefusedError
from batchgate_api.structs import OpenStruct, Operation

T = TypeVar("T")

Method = Callable[..., Awaitable[Any]]
"""A method of a handler class: ``(request, parameters[, body])``, typed by the generated Protocol."""


class Binder:
    """Makes aiohttp handlers that check a call, read it, and write its answer."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def bind(self, operation: Operation, method: Method, path: str, mount: str) -> Handler:
        """Return the handler of an operation at one of its paths, which begins with a mount."""
        reader, authenticator = ParameterReader(operation), self._authenticator
        repeatable = is_repeatable(method)

        async def handle(request: web.Request) -> web.StreamResponse:
            request[MOUNT], request[OPERATION] = mount, operation
            request[LOGGED_CALL] = LoggedCall(operation.id, path, logged_id(request))
            recheck = partial(_recheck, authenticator, request) if operation.authenticated else _without_check
            request[RECHECK] = recheck
            if operation.authenticated:
                caller = await authenticator.authenticate(request)
                request[WORKSPACE], request[CALLER], request[SCOPES] = caller.workspace, caller.name, caller.scopes
                _require_scope(operation, caller)
            if operation.media_type is not None:
                _require_media_type(request, operation.media_type)
            parameters = reader.read(request)
            if operation.body is None:
                _refuse_undeclared_body(operation, request)
                result = await method(request, parameters)
            else:
                result = await _call_with_body(operation, method, request, parameters)
            if isinstance(result, web.StreamResponse):
                return result
            body = await encode_answer(result)
            return JsonAnswer(body, warning_headers(request), repeatable=repeatable)

        return handle


async def _call_with_body(operation: Operation, method: Method, request: web.Request, parameters: OpenStruct) -> Any:
    """Call a method whose request has a body, which may take long to arrive."""
    with ExitStack() as request[OPEN_UPLOAD]:
        if operation.body is None or operation.body_streamed:
            return await method(request, parameters)
        return await method(request, parameters, await read_json(request, operation.body))


def value_or_none(value: T | UnsetType) -> T | None:
    """Return an optional value, or None if it is not set."""
    return None if isinstance(value, UnsetType) else value


async def _without_check() -> None:
    """Do nothing: the call needs no key."""


async def _recheck(authenticator: Authenticator, request: web.Request) -> None:
    await authenticator.authenticate(request)


def _require_scope(operation: Operation, caller: Caller) -> None:
    if set(operation.scopes).isdisjoint(caller.scopes):
        wanted, held = " or ".join(operation.scopes), ", ".join(caller.scopes)
        message = f"The API key may not do this: it needs the scope {wanted}, and has {held}."
        raise RefusedError("permission_error", message, code="missing_scope")


def _refuse_undeclared_body(operation: Operation, request: web.Request) -> None:
    """Refuse a body where the gateway's own API reads none; clients of other services may send an empty object."""
    if operation.paths[0].startswith(OWN_API) and request.body_exists and request.content_length != 0:
        message = f"{operation.method} {operation.paths[0]} takes no body; give its parameters in the query"
        raise RefusedError("invalid_request_error", message)


def _require_media_type(request: web.Request, media_type: str) -> None:
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" and content_type.endswith("+json")
    if content_type != media_type and not is_json:
        sent = repr(content_type) if content_type else "none"
        message = f"Content-Type: it must be {media_type}, and is {sent}"
        raise RefusedError("invalid_request_error", message, status=415)
