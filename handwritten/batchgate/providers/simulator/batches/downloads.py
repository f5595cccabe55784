"""Sends files from disk, whole or cut in the middle, and writes bodies of calls to disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.world import BatchWorld

CHUNK: Final = 256 * 1024


async def send_results(
    world: BatchWorld, provider: str, request: web.Request, path: Path, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send a file, unless the download meets a fault."""
    if world.faults.take("refuse_downloads", provider):
        raise RefusedError("api_error", "The service is temporarily unavailable.", status=503)
    if world.faults.take("cut_downloads", provider):
        return await _send_half(request, path, headers)
    return web.FileResponse(path, headers=headers)


async def _send_half(request: web.Request, path: Path, headers: Mapping[str, str]) -> web.StreamResponse:
    """Announce the whole file, send half of it, and close the connection."""
    size = _size(path)
    response = web.StreamResponse(headers={**headers, "content-length": str(size)})
    await response.prepare(request)
    left = size // 2
    with _open(path, "rb") as file:
        while left:
            chunk = file.read(min(CHUNK, left))
            await response.write(chunk)
            left -= len(chunk)
    if request.transport is not None:
        request.transport.close()
    return response


async def write_body(chunks: AsyncIterator[bytes], path: Path, max_bytes: int) -> int:
    """Write a body to disk and return its size; what exceeds the maximum is read, but not written."""
    size = 0
    with _open(path, "wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size <= max_bytes:
                file.write(chunk)
    return size


def _size(path: Path) -> int:
    return path.stat().st_size


def _open(path: Path, mode: str) -> BinaryIO:
    return path.open(mode)  # type: ignore[return-value]
