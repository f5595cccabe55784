"""Reads the request body of a create from a file or stdin while it is sent.

A file holds either the body itself, ``{"requests": [...]}``, or one request a line, ``{"custom_id": ..., "params":
{...}}``; its first bytes show which. Lines are wrapped into the body while they are read, so that memory holds one line
and one piece of the file at most.
"""

from __future__ import annotations

import asyncio
import os
import re
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from batchgate.cli.failures import SubmissionRefused
from batchgate.cli.request_lines import LineFault, RequestLines
from batchgate.engine.model.text_encoding import Utf8Decoder

PIECE: Final = 256 * 1024
LONGEST_LINE: Final = 33 * 1024 * 1024
"""A little more than the gateway's limit for one request."""

LONGEST_START: Final = 64 * 1024
"""Bytes that are looked at to know what a file is."""

_CREATE_BODY: Final = re.compile(rb'\s*\{\s*"requests"\s*:')
_BLANK: Final = b" \t\r\n"


class LineCheck(Protocol):
    """Is told which lines of a file become requests, and which are invalid."""

    def accept(self, number: int) -> None:
        """Count a line that is sent."""
        ...

    def refuse(self, number: int, fault: LineFault) -> None:
        """Take an invalid line, which is not sent if this returns; may raise `SubmissionRefused`."""
        ...


class SentLines:
    """The `LineCheck` of a submission: knows the line of each request; an invalid line ends it."""

    def __init__(self) -> None:
        self.numbers = array("Q")

    def accept(self, number: int) -> None:
        """Count a line that is sent."""
        self.numbers.append(number)

    def refuse(self, number: int, fault: LineFault) -> None:
        """Raise `SubmissionRefused`."""
        raise SubmissionRefused(f"line {number}: {fault}")


class Content(Struct, frozen=True):
    """The content of a file in UTF-8, of which the first bytes have been looked at."""

    start: bytes
    whole: AsyncIterator[bytes]
    """All of it, from the beginning; it can be read once."""


async def open_content(pieces: AsyncIterator[bytes]) -> Content:
    """Read the start of a file; raises `SubmissionRefused` if it is no text."""
    decoded = _in_utf8(pieces)
    start = b""
    async for piece in decoded:
        start += piece
        if len(start) >= LONGEST_START:
            break
    return Content(start, _resumed(start, decoded))


async def whole_content(text: bytes) -> Content:
    """Return the content of a text."""

    async def pieces() -> AsyncIterator[bytes]:
        yield text

    return await open_content(pieces())


def is_document(start: bytes) -> bool:
    """Check if a file begins as a request body."""
    return _CREATE_BODY.match(start) is not None


async def create_body(
    content: Content, check: LineCheck, fields: Mapping[str, object] | None = None
) -> AsyncIterator[bytes]:
    """Convert the content of a file into a request body with more ``fields``; raises `SubmissionRefused`."""
    more = b"".join(b"%b:%b," % (msgspec.json.encode(k), msgspec.json.encode(v)) for k, v in (fields or {}).items())
    is_lines = not is_document(content.start)
    body = _framed(_lines(content.whole), check) if is_lines else _without_brace(content.whole)
    yield b"{" + more
    async for part in body:
        yield part


async def first_lines(content: Content, count: int) -> Sequence[bytes]:
    """Read the first lines that are not blank; raises `SubmissionRefused`."""
    lines: list[bytes] = []
    requests, check = RequestLines(), SentLines()
    async with aclosing(_lines(content.whole)) as numbered:
        async for number, line in numbered:
            if text := line.strip(_BLANK):
                if (fault := requests.fault(number, text)) is not None:
                    check.refuse(number, fault)
                lines.append(text)
            if len(lines) == count:
                break
    return lines


async def read_pieces(descriptor: int) -> AsyncIterator[bytes]:
    """Read an open file or pipe to its end without blocking the event loop or Ctrl-C."""
    while True:
        await _readable(descriptor)
        piece = os.read(descriptor, PIECE)
        if not piece:
            return
        yield piece


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return  # epoll refuses plain files, which are always ready
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _in_utf8(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Decode a file with a byte order mark, as programs on Windows write them."""
    decoder = Utf8Decoder()
    try:
        async for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.finish()
    except UnicodeDecodeError as error:
        message = "the file begins with a byte order mark of UTF-16, but is not valid UTF-16; it should be UTF-8"
        raise SubmissionRefused(message) from error


async def _resumed(start: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for piece in pieces:
        yield piece


async def _without_brace(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a document without its first brace."""
    is_first = True
    async for piece in pieces:
        yield piece.partition(b"{")[2] if is_first else piece
        is_first = False


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[tuple[int, bytes], None]:
    """Split pieces into numbered lines."""
    number = 1
    parts: list[bytes] = []
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield number, b"".join((*parts, line))
            number += 1
            parts = []
        parts.append(rest)
        if sum(map(len, parts)) > LONGEST_LINE:
            raise SubmissionRefused(f"line {number}: a request may have at most 32 MiB; this line has more than 33")
    yield number, b"".join(parts)


async def _framed(lines: AsyncIterator[tuple[int, bytes]], check: LineCheck) -> AsyncIterator[bytes]:
    """Wrap lines into a request body, without its first brace; blank lines are skipped."""
    buffer = bytearray(b'"requests":[')
    separator = b""
    requests = RequestLines()
    async for number, line in lines:
        text = line.strip(_BLANK)
        if not text:
            continue
        if (fault := requests.fault(number, text)) is not None:
            check.refuse(number, fault)
            continue
        check.accept(number)
        buffer += separator + text
        separator = b",\n"
        if len(buffer) >= PIECE:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer) + b"]}"
