"""Reads answers from the pieces of a download."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from batchgate.tables.result_answers import Answer, read_answer


async def answers(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Answer, None]:
    """Read the answers from the pieces of a download; a piece may end inside a line."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield read_answer(line)
