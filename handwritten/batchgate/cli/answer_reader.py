"""Reads lines and answers from the pieces of a download; a piece may end inside a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from batchgate.tables.result_answers import Answer, read_answer


async def answers(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Answer, None]:
    """Yield the answer of each result line."""
    async for line in lines(pieces):
        yield read_answer(line)


async def lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the lines without their ends."""
    parts: list[bytes] = []
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            parts.append(line)
            yield b"".join(parts)
            parts.clear()
        parts.append(rest)
