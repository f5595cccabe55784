"""Answers ``Expect: 100-continue`` when the body is read, not before: a call that is refused needs no body.

aiohttp answers it before the handler runs, also for paths that do not exist.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import UrlDispatcher

from batchgate.api.context import ASKED_FOR_BODY
from batchgate.api.errors import errors_as_json

_CONTINUE: Final = "100-continue"


async def defer_continue(request: web.Request) -> None:
    """Accept the header without an answer yet; raises `web.HTTPExpectationFailed` for another expectation."""
    expected = request.headers.get(hdrs.EXPECT, "")
    if request.version >= HttpVersion11 and expected.lower() != _CONTINUE:
        raise web.HTTPExpectationFailed(text=f"Unknown Expect: {expected}")


async def ask_for_body(request: web.Request) -> None:
    """Send ``100 Continue`` to a client that waits for it; does nothing at the second call."""
    if not _waits(request):
        return
    request[ASKED_FOR_BODY] = True
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0


async def answer_expectation(request: web.Request, handler: Handler, router: UrlDispatcher) -> web.StreamResponse:
    """Call the application; errors are JSON.

    The connection is closed after a response without a request for the body, since the client may send it or not.
    """
    if hdrs.EXPECT not in request.headers:
        return await errors_as_json(request, handler, router)
    response = await errors_as_json(request, partial(_refuse_unrouted, handler=handler, router=router), router)
    if _waits(request):
        response.force_close()
    return response


async def _refuse_unrouted(request: web.Request, handler: Handler, router: UrlDispatcher) -> web.StreamResponse:
    """Refuse an unknown path or method before aiohttp asks for the body."""
    await defer_continue(request)
    found = await router.resolve(request)
    if found.http_exception is not None:
        raise found.http_exception
    return await handler(request)


def _waits(request: web.Request) -> bool:
    return (
        request.headers.get(hdrs.EXPECT, "").lower() == _CONTINUE
        and request.version >= HttpVersion11
        and request.body_exists
        and ASKED_FOR_BODY not in request
    )
