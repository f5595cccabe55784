"""Request bodies of any size, which are not in memory as a whole.

A body is written to a temporary file before it is sent: so its length is known, as the providers' own SDKs send it, and
a request that cannot be encoded ends the call before the provider has seen anything of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from msgspec.json import encode

from batchgate.engine.model.errors import BlobError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.support.cancellation import shielded

_BLOCK: Final = 1024 * 1024
"""Bytes that are written or sent at once."""


class MultipartFile:
    """A multipart form (RFC 7578) with some fields, and then the part with a file of one line for each row."""

    def __init__(
        self, fields: Iterable[tuple[str, str]], filename: str, rows: AsyncIterator[PlannedRow], *, part: str = "file"
    ) -> None:
        self._boundary: Final = f"batchgate-{uuid.uuid4().hex}"
        self._fields: Final = tuple(fields)
        self._filename: Final = filename
        self._rows: Final = rows
        self._part: Final = part

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
        disposition = f'content-disposition: form-data; name="{self._part}"; filename="{self._filename}"'
        yield f"--{self._boundary}\r\n{disposition}\r\ncontent-type: application/jsonl\r\n\r\n".encode()
        async for row in self._rows:
            yield row.line + b"\n"
        yield f"\r\n--{self._boundary}--\r\n".encode()


def request_list(
    first: PlannedRow | None, rows: AsyncIterator[PlannedRow], fields: Mapping[str, str] | None = None
) -> AsyncIterator[bytes]:
    """Yield an object in blocks: ``fields``, and then ``requests`` with ``first`` and all rows after it."""
    return _in_blocks(_request_list(first, rows, fields or {}))


async def _request_list(
    first: PlannedRow | None, rows: AsyncIterator[PlannedRow], fields: Mapping[str, str]
) -> AsyncIterator[bytes]:
    yield b"{" + b"".join(b"%s:%s," % (encode(name), encode(value)) for name, value in fields.items())
    yield b'"requests":['
    if first is not None:
        yield first.line
        async for row in rows:
            yield b"," + row.line
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


class SpooledBody:
    """A body in a temporary file without a name; only `spooled` makes them."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file: Final = file
        self.size: Final = size

    async def blocks(self, on_block: Callable[[], None]) -> AsyncIterator[bytes]:
        """Yield the body from its beginning, and report each block before it is sent; raises `BlobError`."""
        with _storage_errors():
            await asyncio.to_thread(self._file.seek, 0)
            while block := await asyncio.to_thread(self._file.read, _BLOCK):
                on_block()
                yield block


@asynccontextmanager
async def spooled(blocks: AsyncIterator[bytes], turn: asyncio.Lock) -> AsyncIterator[SpooledBody]:
    """Write a body to a temporary file, which is gone when the context is left; raises `BlobError`.

    Bodies with the same ``turn`` are written one after the other: so the first of two is sent while the next is made.
    """
    with _storage_errors():
        file = await _opened()
    try:
        size = 0
        async with turn:
            async for block in blocks:
                with _storage_errors():
                    await asyncio.to_thread(file.write, block)
                size += len(block)
        yield SpooledBody(file, size)
    finally:
        await shielded(asyncio.to_thread(file.close))


async def _opened() -> BinaryIO:
    """Open a temporary file; if the caller is cancelled meanwhile, close it again."""
    opening = asyncio.ensure_future(asyncio.to_thread(_temporary_file))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await shielded(_close(opening))
        raise


async def _close(opening: asyncio.Future[BinaryIO]) -> None:
    with suppress(OSError):
        (await opening).close()


def _temporary_file() -> BinaryIO:
    return cast("BinaryIO", TemporaryFile(prefix="batchgate-"))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BlobError(f"cannot write a job to the temporary folder: {error.strerror or error}") from error
