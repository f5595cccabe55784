"""Blob storage for inputs, results and files: a local folder or an object store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

ByteStream: TypeAlias = AsyncGenerator[bytes, None]
"""Pieces of bytes. Who may stop before the end closes it (`contextlib.aclosing`): it holds a file or a connection."""


class BlobWriter(Protocol):
    """Writes one blob from its beginning to its end."""

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        ...

    async def commit(self) -> None:
        """Make the blob complete, durable and visible."""
        ...

    async def abort(self) -> None:
        """Remove what was written; does nothing after a commit."""
        ...


class BlobInfo(Struct, frozen=True, kw_only=True):
    """Size and time of a stored blob."""

    size: int
    modified: float
    """Seconds since the epoch."""


class Blobs(Protocol):
    """Reads, writes and deletes blobs by name; a name may have slashes. Raises `BlobError`."""

    def writer(self, name: str) -> BlobWriter:
        """Return a writer for a new blob, which does not exist before the commit."""
        ...

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        ...

    async def find(self, name: str) -> BlobInfo:
        """Return size and time of a blob; raises `BlobError` also when it does not exist."""
        ...

    def stream(self, name: str, offset: int = 0, length: int | None = None, *, for_caller: bool = False) -> ByteStream:
        """Yield a blob, or exactly ``length`` bytes of it, in pieces; memory stays bounded with a slow consumer.

        ``for_caller``: it is sent to a caller, who may be slow or stop, so pieces are small, and little is read ahead.
        """
        ...

    async def delete(self, name: str) -> None:
        """Delete a blob, and the parts that an interrupted writer left of it; a missing blob is no error."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Return the path of the blob if it is a local file, which the kernel can send without copying."""
        ...
