"""Writes the content of an uploaded file to a blob while its bytes arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import PurePath
from typing import Final

from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import Upload
from batchgate.engine.ports.blobs import BlobWriter
from batchgate.engine.ports.body_readers import UploadReader
from batchgate.engine.storage.hashing_writer import HashingWriter, next_piece

MB: Final = 1024 * 1024
MAX_FILE: Final = 512 * MB
MAX_BATCH_INPUT: Final = 200 * MB


async def write_upload(
    body: AsyncIterator[bytes], reader: UploadReader, writer: BlobWriter, check_quota: Callable[[int], None]
) -> tuple[Upload, int, bytes]:
    """Write the content; return the fields of the upload, the size and the SHA-256 of the content.

    Raises `RefusedError` as soon as the content is too large for its purpose, or ``check_quota`` refuses its size.
    """
    sha256, size = hashlib.sha256(), 0
    hashing = HashingWriter(writer, sha256)
    try:
        async for data in body:
            pieces = reader.feed(data)
            while (piece := await next_piece(pieces, in_thread=reader.is_compressed)) is not None:
                size += len(piece)
                _check_size(reader.purpose, size)
                check_quota(size)
                await hashing.write(piece)
        upload = await asyncio.to_thread(reader.finish)
        _check(upload, size)
        await hashing.flush()
        await writer.commit()
    except BaseException:
        await hashing.cancel()
        raise
    return upload, size, sha256.digest()


def _check(upload: Upload, size: int) -> None:
    if not size:
        raise RefusedError("invalid_request_error", "file: the file is empty", param="file", code="empty_file")
    _check_size(upload.purpose, size)
    # A name without a suffix is accepted: SDKs use "upload" or the like for data without a name.
    if upload.purpose == "batch" and PurePath(upload.filename).suffix.lower() not in {"", ".jsonl"}:
        message = f"file: the input file of a batch must be named *.jsonl, not {upload.filename!r}"
        raise RefusedError("invalid_request_error", message, param="file", code="invalid_file_format")


def _check_size(purpose: str | None, size: int) -> None:
    limit = MAX_BATCH_INPUT if purpose == "batch" else MAX_FILE
    if size > limit:
        kind = "the input file of a batch" if purpose == "batch" else "a file"
        message = f"file: {kind} may have at most {limit} bytes"
        raise RefusedError("request_too_large", message, param="file", code="file_too_large")
