"""Reads a request body in pieces, within a size and a patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientConnectionError, web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError

from batchgate.api.context import RECHECK
from batchgate.engine.model.errors import RefusedError

PIECE = 256 * 1024
PATIENCE = 60.0  # seconds without a byte
BROKEN_OFF = (
    ClientConnectionError,
    ConnectionError,
    HttpProcessingError,
    PayloadEncodingError,
    web.RequestPayloadError,
)
"""What aiohttp raises for a body that does not end as it was announced."""


async def pieces(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; raises `RefusedError` when it is too large, too slow or breaks off.

    So it does when the caller's key is revoked meanwhile: what it sends is not taken in any more.
    """
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    received = 0
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                data = await request.content.read(PIECE)
        except TimeoutError as error:
            message = f"the body stopped for {PATIENCE:.0f} seconds after {received} bytes"
            raise RefusedError("timeout_error", message, status=408) from error
        except BROKEN_OFF as error:
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
