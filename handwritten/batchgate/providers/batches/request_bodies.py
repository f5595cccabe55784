"""Request bodies that are made while they are sent, so that no job stands in memory as a whole."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from batchgate.engine.model.native_job import PlannedRow

_BLOCK: Final = 64 * 1024
"""Bytes that are collected before they are sent: lines alone would be many small writes."""


class MultipartFile:
    """A multipart form (RFC 7578) with some fields, and then a file of one line for each row."""

    def __init__(self, fields: Iterable[tuple[str, str]], filename: str, rows: AsyncIterator[PlannedRow]) -> None:
        self._boundary: Final = f"batchgate-{uuid.uuid4().hex}"
        self._fields: Final = tuple(fields)
        self._filename: Final = filename
        self._rows: Final = rows

    @property
    def content_type(self) -> str:
        """The value of the header content-type."""
        return f"multipart/form-data; boundary={self._boundary}"

    def blocks(self) -> AsyncIterator[bytes]:
        """Yield the form, in blocks."""
        return _in_blocks(self._parts())

    async def _parts(self) -> AsyncIterator[bytes]:
        for name, value in self._fields:
            yield f'--{self._boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        disposition = f'content-disposition: form-data; name="file"; filename="{self._filename}"'
        yield f"--{self._boundary}\r\n{disposition}\r\ncontent-type: application/jsonl\r\n\r\n".encode()
        async for row in self._rows:
            yield row.line
            yield b"\n"
        yield f"\r\n--{self._boundary}--\r\n".encode()


def request_list(first: PlannedRow | None, rows: AsyncIterator[PlannedRow]) -> AsyncIterator[bytes]:
    """Yield ``{"requests":[...]}`` with ``first`` and all rows after it, in blocks."""
    return _in_blocks(_request_list(first, rows))


async def _request_list(first: PlannedRow | None, rows: AsyncIterator[PlannedRow]) -> AsyncIterator[bytes]:
    yield b'{"requests":['
    if first is not None:
        yield first.line
        async for row in rows:
            yield b","
            yield row.line
    yield b"]}"


async def _in_blocks(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    block = bytearray()
    async for part in parts:
        block += part
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


class ObservedBody:
    """A body that reports each block before it is sent, and keeps the error that ended it.

    The HTTP client wraps an exception of a body into its own: the original says whose fault it was.
    """

    def __init__(self, blocks: AsyncIterator[bytes], on_block: Callable[[], None]) -> None:
        self._blocks: Final = blocks
        self._on_block: Final = on_block
        self.fault: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the blocks."""
        try:
            async for block in self._blocks:
                self._on_block()
                yield block
        except Exception as error:
            self.fault = error
            raise
