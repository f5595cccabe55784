"""Sends stored content: local files through the kernel, other content in pieces, with gzip if the caller accepts it."""

from __future__ import annotations

import asyncio
import os
import zlib
from base64 import b64encode
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from batchgate.api.blob_response import BlobResponse, out_of_range
from batchgate.api.sending import StoredFile, send_pieces, send_stored_file
from batchgate.engine.model.errors import DamagedBlob, blob_read_error
from batchgate.engine.model.file import File
from batchgate.engine.ports.blobs import BlobInfo, Blobs, ByteStream
from batchgate.engine.results.content_renderer import RenderedContent

JSONL: Final = "application/x-jsonl"
BINARY: Final = "application/octet-stream"
DIGEST: Final = "Repr-Digest"
"""RFC 9530: a hash of the content, for the caller to verify."""
GZIP_LEVEL: Final = 1
"""Result lines are repetitive: the fastest level already makes them several times smaller."""
GZIP_WINDOW_BITS: Final = 13
GZIP_MEMORY_LEVEL: Final = 6
"""With this window of 8 KB a compressor has 64 KB of memory, not 256, and result lines become no larger."""
GZIP_FROM: Final = 4096
"""Bytes below which compression is not worthwhile."""
CONDITIONS: Final = (hdrs.IF_MATCH, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE)
"""Headers that are evaluated before Range."""


async def send_lines(
    request: web.Request, blobs: Blobs, content: RenderedContent, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send lines of a batch as JSONL."""
    return await _send(request, blobs, content, {hdrs.CONTENT_TYPE: JSONL, **(headers or {})})


async def send_json(
    request: web.Request, blobs: Blobs, content: RenderedContent, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send a JSON object that is generated while it is sent."""
    return await _send(request, blobs, content, {hdrs.CONTENT_TYPE: "application/json", **(headers or {})})


async def send_file(request: web.Request, blobs: Blobs, file: File, content: RenderedContent) -> web.StreamResponse:
    """Send the content of a file as an attachment, so that no browser displays it as a page of the gateway."""
    shown = {
        hdrs.CONTENT_TYPE: BINARY,
        hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    return await _send(request, blobs, content, shown, compress=file.filename.lower().endswith(".jsonl"))


async def _send(
    request: web.Request, blobs: Blobs, content: RenderedContent, headers: dict[str, str], *, compress: bool = True
) -> web.StreamResponse:
    async with content.watching():
        path = None if content.blob is None else blobs.local_path(content.blob)
        stored = None if content.blob is None or path is not None else await blobs.find(content.blob)
        if path is not None:
            _check(path, str(content.blob), content.size)
        if stored is not None:
            _check_size(str(content.blob), stored.size, content.size)
    if content.sha256:
        headers[DIGEST] = f"sha-256=:{b64encode(content.sha256).decode()}:"
    if compress:
        headers.setdefault(hdrs.VARY, hdrs.ACCEPT_ENCODING)
    if compress and (content.size is None or content.size >= GZIP_FROM) and _wants_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        headers.pop(DIGEST, None)  # it would not match the compressed bytes
        return await _stream(request, _gzipped(content.pieces()), headers)
    if path is not None:
        whole = _is_for_another_version(request, path.stat())
        if not whole:
            _check_range(request, path.stat())
        return await send_stored_file(request, StoredFile(path, headers, whole=whole), content.watching)
    if stored is not None:
        return await _send_stored(request, blobs, content, stored, headers)
    return await _stream(request, content.pieces(), headers, content.size)


async def _send_stored(
    request: web.Request, blobs: Blobs, content: RenderedContent, stored: BlobInfo, headers: dict[str, str]
) -> web.StreamResponse:
    """Send a blob of an object store, or the requested range of it."""
    name = str(content.blob)
    answer = BlobResponse(request, name, stored)
    headers |= answer.headers
    if status := answer.status_without_content():
        return web.Response(status=status, headers=headers)
    span = answer.span()
    if span is None:
        pieces = _watched(content, blobs.stream(name, 0, stored.size, for_caller=True))
        return await _stream(request, pieces, headers, stored.size)
    headers[hdrs.CONTENT_RANGE] = f"bytes {span.start}-{span.start + span.length - 1}/{stored.size}"
    pieces = _watched(content, blobs.stream(name, span.start, span.length, for_caller=True))
    return await _stream(request, pieces, headers, span.length, status=206)


async def _watched(content: RenderedContent, pieces: ByteStream) -> ByteStream:
    """Yield the pieces of the blob of a content, and report it if it is damaged."""
    async with content.watching(), aclosing(pieces):
        async for piece in pieces:
            yield piece


def _is_for_another_version(request: web.Request, file: os.stat_result) -> bool:
    """Check if the ETag in If-Range is another file's; aiohttp supports only dates there."""
    tag = request.headers.get(hdrs.IF_RANGE)
    if tag is None or request.if_range is not None:
        return False
    return tag.strip() != f'"{file.st_mtime_ns:x}-{file.st_size:x}"'  # the ETag that aiohttp makes for a file


def _check_range(request: web.Request, file: os.stat_result) -> None:
    """Refuse a range outside of the file; aiohttp would answer with an empty body."""
    if any(name in request.headers for name in CONDITIONS) or (
        request.if_range is not None and file.st_mtime > request.if_range.timestamp()
    ):
        return
    try:
        satisfiable = (request.http_range.start or 0) < file.st_size
    except ValueError:
        satisfiable = False
    if not satisfiable:
        raise out_of_range(request, file.st_size)


def _check(path: Path, blob: str, size: int | None) -> None:
    """Raise `DamagedBlob` for a missing file or a wrong size, before the response starts."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise blob_read_error(f"{blob}: {error.strerror}", error.errno) from error
    _check_size(blob, found, size)


def _check_size(blob: str, found: int, size: int | None) -> None:
    if size is not None and found != size:
        raise DamagedBlob(f"{blob}: damaged: {found} bytes, not {size}")


def _wants_gzip(request: web.Request) -> bool:
    """Check if the response should be compressed; a range never is."""
    if hdrs.RANGE in request.headers or request.method == hdrs.METH_HEAD:
        return False
    offers = (offer.partition(";") for offer in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(","))
    return any(name.strip() == "gzip" and quality.strip() not in {"q=0", "q=0.0"} for name, _, quality in offers)


async def _stream(
    request: web.Request,
    pieces: ByteStream,
    headers: Mapping[str, str],
    size: int | None = None,
    *,
    status: int = 200,
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = size
    return await send_pieces(request, response, pieces)


async def _gzipped(pieces: ByteStream) -> ByteStream:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW_BITS | 16, memLevel=GZIP_MEMORY_LEVEL)
    async with aclosing(pieces):
        async for piece in pieces:
            if compressed := await asyncio.to_thread(compressor.compress, piece):
                yield compressed
    yield compressor.flush()
