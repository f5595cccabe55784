"""Sends the body of a download; a caller that does not read holds little memory, and is disconnected after a time.

A caller that is gone, or that was disconnected, is no error of the gateway: it is logged as ``download_aborted``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from batchgate.api.context import DOWNLOADS, HTTP_LIMITS, key_of
from batchgate.api.socket_options import reset_connection
from batchgate.engine.model.errors import BlobError, DamagedBlob, StoreError, blob_read_error
from batchgate.engine.ports.blobs import ByteStream

logger = logging.getLogger(__name__)

PIECE: Final = 64 * 1024
"""Bytes that are sent at a time; these must leave within ``download_stall_timeout``."""


class DownloadStalled(Exception):
    """The caller did not read for too long."""


async def send_pieces(request: web.Request, response: web.StreamResponse, pieces: ByteStream) -> web.StreamResponse:
    """Send a download; an error in the middle aborts the connection, so that the caller notices it."""
    async with aclosing(pieces):
        with request.app[DOWNLOADS].hold(key_of(request)):
            return await send_stream(request, response, pieces)


async def send_stream(request: web.Request, response: web.StreamResponse, pieces: ByteStream) -> web.StreamResponse:
    """Send a response as `send_pieces` does; the caller counts it for its API key, and closes the pieces."""
    with _aborting(request):
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _send_all(request, response, pieces)
        await _within_limit(request, response.write_eof())
    return response


async def send_stored_file(
    request: web.Request, response: StoredFile, watching: Callable[[], AbstractAsyncContextManager[None]]
) -> web.StreamResponse:
    """Send a local file as it is stored; ``watching`` reports that it is damaged."""
    with request.app[DOWNLOADS].hold(key_of(request)), _aborting(request):
        async with watching():
            await response.prepare(request)
    return response


class StoredFile(web.FileResponse):
    """A local file that the kernel sends, a piece at a time; with ``whole`` it ignores Range."""

    def __init__(self, path: Path, headers: dict[str, str], *, whole: bool = False) -> None:
        super().__init__(path, headers=headers)
        self._whole = whole

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file; aiohttp calls this again for a response that has been sent."""
        if self.prepared:
            return None
        if self._whole:
            headers = request.headers.copy()
            headers.popall(hdrs.RANGE, None)
            request = request.clone(headers=headers)
        return await super().prepare(request)

    async def _sendfile(self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int) -> AbstractStreamWriter:
        """Send a range of the file; the inherited method would wait without a limit for a caller that stalls."""
        assert isinstance(request, web.Request)
        writer = await web.StreamResponse.prepare(self, request)
        assert writer is not None
        loop, end = asyncio.get_running_loop(), offset + count
        while offset < end:
            if request.transport is None:
                raise ConnectionResetError("the caller disconnected")
            piece = loop.sendfile(request.transport, fobj, offset, min(PIECE, end - offset))
            sent = await _within_limit(request, _reading(piece))
            if not sent:
                raise DamagedBlob(f"damaged: {end - offset} bytes fewer than its size")
            offset += sent
        await web.StreamResponse.write_eof(self)
        return writer


async def _reading(sending: Awaitable[int]) -> int:
    """Send a part of a file; raises `BlobError` if the disk does not let it be read."""
    try:
        return await sending
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise blob_read_error(error.strerror or "it could not be read", error.errno) from error


async def _send_all(request: web.Request, response: web.StreamResponse, pieces: ByteStream) -> None:
    left = response.content_length
    async for piece in pieces:
        for start in range(0, len(piece), PIECE):
            await _within_limit(request, response.write(piece[start : start + PIECE]))
        left = None if left is None else left - len(piece)
    if left:
        raise BlobError(f"{left} bytes fewer than its size")


async def _within_limit(request: web.Request, sending: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(request.app[HTTP_LIMITS].download_stall_timeout):
            return await sending
    except TimeoutError:
        raise DownloadStalled from None


@contextmanager
def _aborting(request: web.Request) -> Iterator[None]:
    """Reset the connection after an error: otherwise the truncated response looks complete."""
    try:
        yield
    except DownloadStalled:
        limit = request.app[HTTP_LIMITS].download_stall_timeout
        _log_aborted(f"the caller read nothing for {limit:g} s")
    except ConnectionError:
        _log_aborted("the caller disconnected")
    except (BlobError, StoreError) as error:
        logger.error("download failed: %s", error, extra={"action": "download_failed"})  # noqa: TRY400
    except Exception:
        logger.exception("download failed because of an internal error", extra={"action": "download_failed"})
    else:
        return
    if request.transport is not None:
        reset_connection(request.transport)


def _log_aborted(reason: str) -> None:
    logger.info("download aborted: %s", reason, extra={"action": "download_aborted"})
