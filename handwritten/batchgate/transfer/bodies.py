"""Copies bodies from one place to another by their names, and verifies each by reading it back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Final

from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import Blobs

AT_ONCE: Final = 12
"""Bodies that are copied side by side."""
LARGE: Final = 8 * 1024 * 1024
LARGE_AT_ONCE: Final = 2
"""How many of them may have more than `LARGE` bytes: each of these holds some tens of megabytes, whatever its size."""
NAMED: Final = 10
"""How many that are missing or differ are named."""


class BodiesCopy:
    """Copies bodies, or only compares them; what is there already and equal is passed over."""

    def __init__(self, source: Blobs, target: Blobs, progress: Callable[[str], None], *, write: bool) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._write = write
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self.bodies = 0
        self.size = 0
        self.passed_over = 0
        """Bodies that were there already."""
        self.wrong: list[str] = []
        """What is the matter with bodies that are not there as they are in the source, a sentence each."""

    async def run(self, names: Iterator[str]) -> None:
        """Go through all names; raises `BlobError` only for a place that does not work."""
        await asyncio.gather(*(self._work(names) for _ in range(AT_ONCE)))

    async def _work(self, names: Iterator[str]) -> None:
        while (name := next(names, None)) is not None:
            await self._take(name)
            self.bodies += 1
            if self.bodies % 100 == 0:
                self._progress(f"bodies: {self.bodies:,}, {self.size / 1e9:.2f} GB")

    async def _take(self, name: str) -> None:
        try:
            size = (await self._source.find(name)).size
        except BlobError as error:
            self.wrong.append(f"not in the source: {error}")
            return
        self.size += size
        async with self._large if size > LARGE else nullcontext():
            await self._settle(name, size)

    async def _settle(self, name: str, size: int) -> None:
        if await self._is_there(name, size):
            self.passed_over += 1
        elif not self._write:
            self.wrong.append(f"{name}: missing in the target, or not what it is in the source")
        else:
            await self._copy(name, size)

    async def _is_there(self, name: str, size: int) -> bool:
        with suppress(BlobError):
            if (await self._target.find(name)).size == size:
                both = (_digest(self._target, name, size), _digest(self._source, name, size))
                there, here = await asyncio.gather(*both)
                return there == here
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
            self.wrong.append(f"{name}: what is read back is not what was written")


async def _digest(blobs: Blobs, name: str, size: int) -> bytes:
    digest = hashlib.blake2b()
    async for piece in blobs.stream(name, 0, size):
        await asyncio.to_thread(digest.update, piece)
    return digest.digest()
