"""Reads a request body in pieces, with a maximum size and a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientConnectionError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError

from batchgate.api.content_encoding import ContentDecoder, content_decoder
from batchgate.api.context import HTTP_LIMITS, OPEN_UPLOAD, RECHECK, UPLOADS, key_of
from batchgate.api.expectation import ask_for_body
from batchgate.engine.model.errors import RefusedError

PIECE = 256 * 1024
READ_TIMEOUT = 60.0
"""Seconds of waiting over which the pace of a body is measured."""
INCOMPLETE_BODY = (
    ClientConnectionError,
    ConnectionError,
    HttpProcessingError,
    PayloadEncodingError,
    web.RequestPayloadError,
)
"""Errors of aiohttp for an incomplete body."""


def body_decoder(request: web.Request) -> ContentDecoder:
    """Return the decoder of a request's body; raises `RefusedError` for an unsupported Content-Encoding."""
    member_bytes = request.app[HTTP_LIMITS].compressed_member_bytes
    return content_decoder(request.headers.get(hdrs.CONTENT_ENCODING), member_bytes)


async def pieces(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; raises `RefusedError` if it is too large, too slow or incomplete.

    It also raises if the caller's key is revoked while the body arrives.
    """
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    pace = _Pace(request.app[HTTP_LIMITS].min_upload_rate)
    if not request.content.is_eof():
        request[OPEN_UPLOAD].enter_context(request.app[UPLOADS].hold(key_of(request)))
    await ask_for_body(request)
    received = 0
    while data := await _read(request, pace, received):
        await request[RECHECK]()
        received += len(data)
        if received > limit:
            raise _too_large(limit)
        yield data
    request[OPEN_UPLOAD].close()
    await request[RECHECK]()


async def _read(request: web.Request, pace: _Pace, received: int) -> bytes:
    """Return the next bytes, empty at the end of the body."""
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            async with asyncio.timeout(pace.left):
                data = await request.content.read(PIECE)
        except TimeoutError:
            data = None
        except INCOMPLETE_BODY as error:
            message = f"the body broke off after {received} bytes: {error}"
            raise RefusedError("invalid_request_error", message) from error
        pace.check(loop.time() - begun, received, data)
        if data is not None:
            return data


class _Pace:
    """The pace at which a body arrives, over each `READ_TIMEOUT` that the gateway waits for it."""

    def __init__(self, min_rate: int) -> None:
        self._min_rate = min_rate
        self._waited = 0.0
        self._arrived = 0

    @property
    def left(self) -> float:
        """The seconds until the next look."""
        return READ_TIMEOUT - self._waited

    def check(self, waited: float, received: int, data: bytes | None) -> None:
        """Count what arrived after a wait; raises `RefusedError` if it was too little over the whole time."""
        self._waited += waited
        self._arrived += len(data or b"")
        if data is None and not self._arrived:
            raise _timed_out(f"the body stopped for {READ_TIMEOUT:.0f} seconds after {received} bytes")
        if self._waited < READ_TIMEOUT:
            return
        if self._arrived < self._min_rate * READ_TIMEOUT and data != b"":
            pace = f"{self._min_rate} bytes a second for {READ_TIMEOUT:.0f} seconds"
            raise _timed_out(f"the body arrived at less than {pace}, after {received} bytes")
        self._waited, self._arrived = 0.0, 0


def _timed_out(message: str) -> RefusedError:
    return RefusedError("timeout_error", message, status=408)


def _too_large(limit: int) -> RefusedError:
    return RefusedError("request_too_large", f"the body may have at most {limit} bytes")
