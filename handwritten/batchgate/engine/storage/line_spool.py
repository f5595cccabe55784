"""Keeps lines until they are read again, without storing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import Final

from batchgate.engine.model.errors import BlobError

IN_MEMORY: Final = 1024 * 1024
"""Bytes up to which the lines stay in memory; more are in a temporary file without a name."""
AT_ONCE: Final = 512 * 1024
"""Bytes of lines that are read at once, or one line."""


class LineSpool:
    """Lines in the order in which they were added; only `line_spool` makes them."""

    def __init__(self, file: SpooledTemporaryFile[bytes]) -> None:
        self._file = file

    async def add(self, lines: Sequence[bytes]) -> None:
        """Add lines, LF included; raises `BlobError`."""
        with _storage_errors():
            await asyncio.to_thread(self._file.write, b"".join(lines))

    async def groups(self) -> AsyncIterator[list[bytes]]:
        """Yield all lines in groups; raises `BlobError`."""
        with _storage_errors():
            await asyncio.to_thread(self._file.seek, 0)
            while lines := await asyncio.to_thread(self._file.readlines, AT_ONCE):
                yield lines


@contextmanager
def line_spool() -> Iterator[LineSpool]:
    """Keep lines until the context is left."""
    with SpooledTemporaryFile(max_size=IN_MEMORY, prefix="batchgate-") as file:
        yield LineSpool(file)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BlobError(f"cannot write to the temporary folder: {error.strerror or error}") from error
