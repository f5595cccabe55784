"""Picks the result lines of requests that did not succeed while results are downloaded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.cli.answer_reader import lines

FIRST_ERROR_STATUS: Final = 400


class _Result(Struct):
    type: str


class _Response(Struct):
    status_code: int


class _Line(Struct):
    """A result line of Messages, which has a ``result``, or one of OpenAI's format."""

    result: _Result | None = None
    response: _Response | None = None

    @property
    def succeeded(self) -> bool:
        if self.result is not None:
            return self.result.type == "succeeded"
        return self.response is not None and self.response.status_code < FIRST_ERROR_STATUS


_LINE: Final = msgspec.json.Decoder(_Line)


async def failed_lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the lines of requests that did not succeed; a piece may end inside a line."""
    async for line in lines(pieces):
        if not _LINE.decode(line).succeeded:
            yield line + b"\n"
