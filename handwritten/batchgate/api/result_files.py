"""Sends result files: by the kernel where they are files of this machine, in pieces elsewhere."""

from __future__ import annotations

from aiohttp import web

from batchgate.engine.batch import Batch
from batchgate.engine.errors import BlobError
from batchgate.engine.ports import Blobs


async def send_results(request: web.Request, blobs: Blobs, batch: Batch, content_type: str) -> web.StreamResponse:
    """Send the results of a batch that has some."""
    assert batch.results_blob is not None
    path = blobs.local_path(batch.results_blob)
    if path is None:
        return await _stream(request, blobs, batch.results_blob, batch.results_size, content_type)
    if not path.is_file():
        raise BlobError(f"{batch.results_blob}: the file is gone")
    return web.FileResponse(path, headers={"Content-Type": content_type})


async def _stream(
    request: web.Request, blobs: Blobs, name: str, size: int | None, content_type: str
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = size
    await response.prepare(request)
    async for piece in blobs.stream(name):
        await response.write(piece)
    await response.write_eof()
    return response
