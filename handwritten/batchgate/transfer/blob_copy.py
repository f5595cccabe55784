"""Copies blobs by name from one storage to another, and verifies each copy by reading it back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Final

from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import Blobs

MAX_CONCURRENT: Final = 12
"""Blobs that are copied concurrently."""
LARGE_SIZE: Final = 8 * 1024 * 1024
MAX_CONCURRENT_LARGE: Final = 2
"""Concurrent copies of blobs over `LARGE_SIZE` bytes; each holds some tens of megabytes, whatever its size."""
MAX_REPORTED: Final = 10
"""Missing or different blobs that are listed."""


class BlobCopy:
    """Copies blobs, or with ``write=False`` only compares them; identical blobs in the target are skipped."""

    def __init__(self, source: Blobs, target: Blobs, progress: Callable[[str], None], *, write: bool) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._write = write
        self._large = asyncio.Semaphore(MAX_CONCURRENT_LARGE)
        self.processed = 0
        self.total_bytes = 0
        self.skipped = 0
        """Blobs that were already identical in the target."""
        self.errors: list[str] = []
        """One sentence for each blob that is missing in the target or differs from the source."""

    async def run(self, names: Iterator[str]) -> None:
        """Process all blobs; raises `BlobError` only if a storage as a whole fails."""
        await asyncio.gather(*(self._run_worker(names) for _ in range(MAX_CONCURRENT)))

    async def _run_worker(self, names: Iterator[str]) -> None:
        while (name := next(names, None)) is not None:
            await self._process(name)
            self.processed += 1
            if self.processed % 100 == 0:
                self._progress(f"blobs: {self.processed:,}, {self.total_bytes / 1e9:.2f} GB")

    async def _process(self, name: str) -> None:
        try:
            size = (await self._source.find(name)).size
        except BlobError as error:
            self.errors.append(f"not in the source: {error}")
            return
        self.total_bytes += size
        async with self._large if size > LARGE_SIZE else nullcontext():
            await self._copy_if_needed(name, size)

    async def _copy_if_needed(self, name: str, size: int) -> None:
        if await self._is_identical(name, size):
            self.skipped += 1
        elif not self._write:
            self.errors.append(f"{name}: missing in the target, or different from the source")
        else:
            await self._copy(name, size)

    async def _is_identical(self, name: str, size: int) -> bool:
        with suppress(BlobError):
            if (await self._target.find(name)).size == size:
                digests = (_digest(self._target, name, size), _digest(self._source, name, size))
                target_digest, source_digest = await asyncio.gather(*digests)
                return target_digest == source_digest
        return False

    async def _copy(self, name: str, size: int) -> None:
        digest, writer = hashlib.blake2b(), self._target.writer(name)
        try:
            async for piece in self._source.stream(name, 0, size):
                digest.update(piece)
                await writer.write(piece)
            await writer.commit()
        finally:
            await writer.abort()
        if await _digest(self._target, name, size) != digest.digest():
            self.errors.append(f"{name}: the copy that was read back differs from what was written")


async def _digest(blobs: Blobs, name: str, size: int) -> bytes:
    digest = hashlib.blake2b()
    async for piece in blobs.stream(name, 0, size):
        await asyncio.to_thread(digest.update, piece)
    return digest.digest()
