"""Splits a streamed JSONL file into its lines; only one line is held in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from msgspec import Struct

from batchgate.engine.model.errors import NoUpstreamAnswer

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""The largest result; an answer of the live API has the same limit."""
_MARK: Final = b"\xef\xbb\xbf"


class ResultLine(Struct, frozen=True):
    """One line of a result file."""

    number: int
    """From 1."""
    content: bytes
    """Without its end."""
    is_ended: bool
    """Whether it ends with LF; a last line without one may be cut off."""


async def split_lines(blocks: AsyncIterator[bytes], limit: int = MAX_LINE_BYTES) -> AsyncGenerator[ResultLine, None]:
    """Yield the lines that are not blank; raises `NoUpstreamAnswer` if one has more than ``limit`` bytes."""
    number = 0
    rest = bytearray()
    async for block in blocks:
        *ended, last = block.split(b"\n")
        for part in ended:
            number += 1
            rest += part
            if line := _stripped(rest, number, limit):
                yield ResultLine(number, line, is_ended=True)
            rest.clear()
        rest += last
        _check_length(rest, number + 1, limit)
    if line := _stripped(rest, number + 1, limit):
        yield ResultLine(number + 1, line, is_ended=False)


def _stripped(line: bytearray, number: int, limit: int) -> bytes:
    _check_length(line, number, limit)
    return bytes(line).removeprefix(_MARK if number == 1 else b"").strip(b" \t\r")


def _check_length(line: bytearray, number: int, limit: int) -> None:
    if len(line) > limit:
        message = f"Line {number} of the provider's result file has more than {limit} bytes."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=False)
