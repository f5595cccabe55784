"""Reads a blob through and verifies it, so that damaged bytes end as an error."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing

from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD


async def verified(name: str, pieces: ByteStream, *, size: int | None, sha256: bytes | None) -> ByteStream:
    """Yield the pieces of a whole blob; raises `DamagedBlob` if its size or its SHA-256 is not the expected one.

    None or empty stands for an unknown value, which is not verified. The last piece is yielded after the verification:
    a reader that got as many bytes as it expects has got the right ones.
    """
    read, found, held = 0, hashlib.sha256(), b""
    async with aclosing(pieces):
        async for piece in pieces:
            if held:
                yield held
            read, held = read + len(piece), piece
            if sha256 and len(piece) >= THREAD_THRESHOLD:
                await asyncio.to_thread(found.update, piece)
            elif sha256:
                found.update(piece)
    if size is not None and read != size:
        raise DamagedBlob(f"{name}: damaged: {read} bytes, not {size}")
    if sha256 and found.digest() != sha256:
        raise DamagedBlob(f"{name}: damaged: its SHA-256 is not the one of what was written")
    if held:
        yield held
