"""Yields the lines of a body while its bytes arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from batchgate.engine.intake.input_writer import large_pieces
from batchgate.engine.ports.body_readers import BodyReader
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD, next_piece


async def read_lines(body: AsyncIterator[bytes], reader: BodyReader) -> AsyncIterator[list[bytes]]:
    """Yield groups of lines; raises `RefusedError` for a body that cannot be read."""
    async for data in large_pieces(body):
        groups = reader.feed(data)
        in_thread = reader.is_compressed or len(data) >= THREAD_THRESHOLD
        while (lines := await next_piece(groups, in_thread=in_thread)) is not None:
            yield lines
    yield await asyncio.to_thread(reader.finish)
