"""Reads a request body in pieces, with a maximum size and a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientConnectionError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError

from batchgate.api.content_encoding import ContentDecoder, content_decoder
from batchgate.api.context import HTTP_LIMITS, RECHECK
from batchgate.api.expectation import ask_for_body
from batchgate.engine.model.errors import RefusedError

PIECE = 256 * 1024
READ_TIMEOUT = 60.0  # seconds without a byte
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
    await ask_for_body(request)
    received = 0
    while True:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                data = await request.content.read(PIECE)
        except TimeoutError as error:
            message = f"the body stopped for {READ_TIMEOUT:.0f} seconds after {received} bytes"
            raise RefusedError("timeout_error", message, status=408) from error
        except INCOMPLETE_BODY as error:
            message = f"the body broke off after {received} bytes: {error}"
            raise RefusedError("invalid_request_error", message) from error
        await request[RECHECK]()
        if not data:
            return
        received += len(data)
        if received > limit:
            raise _too_large(limit)
        yield data


def _too_large(limit: int) -> RefusedError:
    return RefusedError("request_too_large", f"the body may have at most {limit} bytes")
