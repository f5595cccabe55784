"""Answers a GET that was answered before with the same bytes, while nothing was committed since.

Callers that wait for batches send the same request again and again. Whatever an answer depends on, besides rows of the
database, is in the head of its request, so an answer is kept by the whole head. The caller is authenticated each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from itertools import chain
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from msgspec import Struct

from batchgate.api.access_log import LOGGED_CALL, LoggedCall
from batchgate.api.authentication import Authenticator
from batchgate.api.context import CALLER, SCOPES, WORKSPACE
from batchgate.api.json_answer import JsonAnswer
from batchgate.engine.model.api_key import Caller

M = TypeVar("M", bound=Callable[..., Awaitable[Any]])

MAX_KEPT: Final = 512
"""Answers that are kept."""
MAX_SIZE: Final = 32 * 1024
"""Bytes of an answer that is kept; a page of 20 batches has about 18,000."""
_MARK: Final = "is_repeatable"


def repeatable(method: M) -> M:
    """Mark a method of a handler whose answer depends on the request and on rows of the database, and nothing else.

    So it does not depend on the time, on the state of the process, or on blobs.
    """
    setattr(method, _MARK, True)
    return method


def is_repeatable(method: Callable[..., Awaitable[Any]]) -> bool:
    """Return whether a method is marked as `repeatable`."""
    return hasattr(method, _MARK)


class _KeptAnswer(Struct, frozen=True):
    body: bytes
    call: LoggedCall
    caller: Caller


class RepeatedReads:
    """The answers that were given since the last commit.

    ``state`` returns the same object as before while nothing was committed, or None if that is not known.
    """

    def __init__(self, authenticator: Authenticator, state: Callable[[], object | None]) -> None:
        self._authenticator = authenticator
        self._find_state = state
        self._state: object = None
        self._kept: dict[bytes, _KeptAnswer] = {}

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Return the answer that is kept, or the one of the handler."""
        # What the handler reads is not older than this state.
        state = self._find_state() if request.method == hdrs.METH_GET else None
        if state is None:
            return await handler(request)
        if state is not self._state:
            self._state = state
            self._kept.clear()
        key = _key(request)
        kept = self._kept.get(key)
        if kept is not None:
            request[LOGGED_CALL] = kept.call
            caller = await self._authenticator.authenticate(request)
            request[WORKSPACE] = caller.workspace
            if caller == kept.caller:
                return JsonAnswer(kept.body)
        response = await handler(request)
        if state is self._state and isinstance(response, JsonAnswer) and response.repeatable:
            self._keep(key, response, request)
        return response

    def _keep(self, key: bytes, answer: JsonAnswer, request: web.Request) -> None:
        if answer.headers or len(answer.content) > MAX_SIZE:
            return
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        caller = Caller(name=request[CALLER], workspace=request[WORKSPACE], scopes=request[SCOPES])
        self._kept[key] = _KeptAnswer(answer.content, request[LOGGED_CALL], caller)


REPEATED_READS: Final = web.AppKey("repeated_reads", RepeatedReads)


def _key(request: web.Request) -> bytes:
    """Return a digest of the head and of the peer's address; a head is not kept itself, since it has an API key."""
    target = request.raw_path.encode("utf-8", "surrogateescape")
    peer = (request.remote or "").encode()
    return blake2b(b"\n".join((target, peer, *chain.from_iterable(request.raw_headers))), digest_size=32).digest()
