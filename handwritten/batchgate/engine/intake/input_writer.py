"""Writes the body of a create as the input blob of a batch, cut into shards, while its bytes arrive.

Memory holds only a window of the body. A refused body leaves neither a blob nor a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from batchgate.engine.intake.shard_cutter import ShardChecksums, ShardCutter
from batchgate.engine.model.shard import Shard
from batchgate.engine.ports.blobs import BlobWriter
from batchgate.engine.ports.body_readers import BodyReader
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD, Hash, HashingWriter, all_pieces, next_piece

PIECE_SIZE: Final = 1024 * 1024
"""Bytes of a body that are collected before they are read."""


async def write_input(
    body: AsyncIterator[bytes], reader: BodyReader, writer: BlobWriter, summary: Hash | None = None
) -> tuple[Shard, ...]:
    """Write the input blob of a batch and return its shards; after an error the blob does not exist."""
    cutter = ShardCutter()
    checksums = ShardChecksums(cutter, summary)
    hashing = HashingWriter(writer, checksums)
    try:
        async for data in large_pieces(body):
            pieces = _cut(reader.feed(data), cutter)
            if not reader.is_compressed:  # all pieces together are no larger than the data
                pieces = iter(await all_pieces(pieces, in_thread=len(data) >= THREAD_THRESHOLD))
            while (piece := await next_piece(pieces, in_thread=reader.is_compressed)) is not None:
                await hashing.write(piece)
        last = await asyncio.to_thread(reader.finish)
        cutter.add(last)
        cutter.cut()
        await hashing.write(b"".join(last))
        await hashing.flush()
        await writer.commit()
    except BaseException:
        await hashing.cancel()
        await writer.abort()
        raise
    return checksums.shards()


def _cut(groups: Iterator[list[bytes]], cutter: ShardCutter) -> Iterator[bytes]:
    """Pass groups of lines to the cutter, and yield each group as one piece."""
    for lines in groups:
        cutter.add(lines)
        yield b"".join(lines)


async def large_pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join the pieces of a body into larger ones, which need fewer switches of threads."""
    pieces: list[bytes] = []
    size = 0
    async for data in body:
        pieces.append(data)
        size += len(data)
        if size >= PIECE_SIZE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)
