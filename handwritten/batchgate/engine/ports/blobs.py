"""Where the bodies of batches and files are kept: a local folder or an object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct


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
    """What the blob storage knows of one blob."""

    size: int
    modified: float
    """Seconds since the epoch."""


class Blobs(Protocol):
    """Blobs by name; a name may have slashes. Raises `BlobError`."""

    def writer(self, name: str) -> BlobWriter:
        """Start a blob; it does not exist before its commit."""
        ...

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        ...

    async def find(self, name: str) -> BlobInfo:
        """Return size and time of a blob; raises `BlobError` also when it does not exist."""
        ...

    def stream(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read a blob, or exactly ``length`` bytes of it, in pieces; a slow consumer costs no memory."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob, and what a writer that died left of it; it is no error if the blob does not exist."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Return the path of the blob if it is a local file, so that the kernel can send it without copying."""
        ...
