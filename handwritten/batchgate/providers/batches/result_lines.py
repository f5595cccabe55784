"""Splits a streamed JSONL file into its lines; one block, and the line across its end, are in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from io import BytesIO
from itertools import takewhile
from typing import Final

from msgspec import Struct

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.ports.provider_batches import RESULTS_AT_ONCE

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""The largest result; an answer of the live API has the same limit."""
_MARK: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"


class LineGroup(Struct, frozen=True):
    """Some lines of a result file that follow each other."""

    first: int
    """The number of its first line, from 1."""
    lines: list[bytes]
    """Without their ends, and without spaces around them; a blank line is empty."""
    is_ended: bool
    """Whether the last line ends with LF; the last one of a file without it may be cut off."""

    @property
    def last(self) -> int:
        """The number of its last line."""
        return self.first + len(self.lines) - 1


async def split_lines(blocks: AsyncIterator[bytes], limit: int = MAX_LINE_BYTES) -> AsyncGenerator[LineGroup, None]:
    """Yield all lines in groups; raises `NoUpstreamAnswer` if one has more than ``limit`` bytes."""
    number = 1
    rest = bytearray()
    async for block in blocks:
        lines = BytesIO(block).readlines() or [b""]  # bytes.split looks at each byte, which takes four times as long
        rest += lines[0]
        if len(rest) > limit:
            raise _too_long(number, limit)
        if not rest.endswith(b"\n"):
            continue
        lines[0] = bytes(rest)
        rest = bytearray(b"" if lines[-1].endswith(b"\n") else lines.pop())
        for group in _groups(lines, number, limit):
            yield group
        number += len(lines)
    for group in _groups([bytes(rest)], number, limit, is_ended=False):
        yield group


def _groups(lines: list[bytes], number: int, limit: int, *, is_ended: bool = True) -> Iterator[LineGroup]:
    """Yield lines of which the first one has this number, up to one that is too long, which raises."""
    if number == 1:
        lines[0] = lines[0].removeprefix(_MARK)
    for start in range(0, len(lines), RESULTS_AT_ONCE):
        group = lines[start : start + RESULTS_AT_ONCE]
        short = [line.strip(_BLANKS) for line in takewhile(lambda line: len(line) <= limit, group)]
        yield LineGroup(number + start, short, is_ended)
        if len(short) < len(group):
            raise _too_long(number + start + len(short), limit)


def _too_long(number: int, limit: int) -> NoUpstreamAnswer:
    message = f"Line {number} of the provider's result file has more than {limit} bytes."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=False)
