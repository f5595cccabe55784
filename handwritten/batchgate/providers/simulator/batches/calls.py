"""What all calls of the simulated batch APIs have in common: the key, and the refusals that need no wire format."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from batchgate.engine.model.errors import STATUSES, RefusedError
from batchgate.providers.simulator.access_tokens import is_token_of
from batchgate.providers.simulator.batches.world import BatchWorld

_T = TypeVar("_T")
_SIGNED: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


class BatchCall(Struct, frozen=True, kw_only=True):
    """A call of a batch API by a caller whose key is accepted."""

    request: web.Request
    owner: str
    """The key of the caller; empty if it sent none."""
    now: float
    """The simulated time in seconds since the epoch."""


Handler: TypeAlias = Callable[[BatchCall], Awaitable[web.StreamResponse]]
ErrorWriter: TypeAlias = Callable[[RefusedError, str], web.Response]
"""Writes a refusal as an answer; the text is the id of the call."""


def guarded(
    world: BatchWorld, provider: str, handler: Handler, write_error: ErrorWriter
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler for aiohttp that checks the key, lets all jobs do what is due, and writes refusals as errors."""

    async def answer(request: web.Request) -> web.StreamResponse:
        outage = world.faults.for_calls(provider).outage
        if outage is not None:
            return web.Response(status=outage, text=f"error code: {outage}")
        if request.method == hdrs.METH_DELETE and world.faults.take("refuse_deletions", provider):
            return web.Response(status=503)
        request_id = f"req_01{world.new_token(22)}"
        response = await respond(request, request_id)
        if not response.prepared:
            response.headers["x-request-id"] = response.headers["request-id"] = request_id
        return response

    async def respond(request: web.Request, request_id: str) -> web.StreamResponse:
        try:
            owner = _accepted_key(world, request.headers)
            now = await world.advance()
            return await handler(BatchCall(request=request, owner=owner, now=now))
        except RefusedError as refusal:
            return write_error(refusal, request_id)

    return answer


def _accepted_key(world: BatchWorld, headers: Mapping[str, str]) -> str:
    """Return the key of a call; raises `RefusedError` if it is not the required one."""
    key = _key(headers)
    required = world.model.required_key
    if required not in {None, key} and not is_token_of(required or "", key):
        raise RefusedError("authentication_error", "Incorrect API key provided.", code="invalid_api_key")
    return key


def _key(headers: Mapping[str, str]) -> str:
    """Return the key of a call, in the header of Azure, Anthropic, Gemini, or OpenAI (native-lanes 2.2, 2.5, 2.3).

    Of a signed call to Bedrock it is the id of the access key; the signature is not verified.
    """
    if signed := _SIGNED.match(headers.get("authorization", "")):
        return signed[1]
    named = next((headers[name] for name in ("api-key", "x-api-key", "x-goog-api-key") if headers.get(name)), None)
    return named or headers.get("authorization", "").removeprefix("Bearer ")


def status_of(refusal: RefusedError) -> int:
    """Return the HTTP status of a refusal."""
    return STATUSES[refusal.kind] if refusal.status is None else refusal.status


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    body = msgspec.json.encode(content)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def read_limit(call: BatchCall, default: int, largest: int) -> int:
    """Return the parameter ``limit`` of a list; raises `RefusedError` if it is not a number in range."""
    text = call.request.query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= largest):
        raise RefusedError("invalid_request_error", f"limit: must be from 1 to {largest}, not {text!r}", param="limit")
    return int(text)


async def read_json(request: web.Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode the body of a call; raises `RefusedError` if it is invalid."""
    try:
        return decoder.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("invalid_request_error", str(error)) from error
