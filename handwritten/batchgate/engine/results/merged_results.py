"""The results of a batch together with those of its retries: one line for each request, in the order of the batch.

The requests of a retry are in the order of its parent. So the result files are read side by side, and a few lines of
each are in memory at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from io import BytesIO
from typing import Final

from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import DamagedBlob, RefusedError
from batchgate.engine.model.stored_blob import StoredBlob, stored_results
from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.results.content_renderer import ContentRenderer, RenderedContent, complete_lines

MOST_RETRIES: Final = 32
"""Retries of a batch whose results are merged: as many files are open at once."""
PIECE: Final = 64 * 1024
"""Bytes that are yielded together, or one line if it is longer."""


class MergedContent(Struct, frozen=True, kw_only=True):
    """The merged results of a batch and its retries."""

    content: RenderedContent
    merged: int
    """The number of retries whose results are in it."""
    retries: int
    """The number of all retries; the others have not ended, or their files are gone."""


class MergedResults:
    """Merges results of batches."""

    def __init__(self, store: BatchStore, contents: ContentRenderer, rows: Mapping[Dialect, RowFormat]) -> None:
        self._store = store
        self._contents = contents
        self._rows = rows

    async def merge(self, batch: Batch) -> MergedContent:
        """Return the results of a batch that has a result file, with the later or better ones of its retries.

        Of the results of a request, the latest success counts, and without a success the latest result. Raises
        `RefusedError` if there are more than `MOST_RETRIES` retries.
        """
        retries = await self._store.retries_of(batch.workspace, batch.id, limit=MOST_RETRIES + 1)
        if len(retries) > MOST_RETRIES:
            message = f"merged: batch {batch.id!r} has more than {MOST_RETRIES} retries; read the results of each alone"
            raise RefusedError("invalid_request_error", message, param="merged")
        found = [stored_results(retry) for retry in retries if retry.results_blob is not None]
        content = RenderedContent(pieces=lambda: self._pieces(batch, found))
        return MergedContent(content=content, merged=len(found), retries=len(retries))

    async def _pieces(self, batch: Batch, retries: Sequence[StoredBlob]) -> ByteStream:
        read = partial(_read_lines, self._rows[batch.dialect])
        async with AsyncExitStack() as stack:
            first, *others = [
                _ResultFile(blob, await stack.enter_async_context(aclosing(self._contents.read(blob))), read)
                for blob in (stored_results(batch), *retries)
            ]
            ready, size = list[bytes](), 0
            while (line := await first.next()) is not None:
                chosen = await _chosen(line, others)
                ready.append(chosen.text)
                size += len(chosen.text)
                if size >= PIECE:
                    yield b"".join(ready)
                    ready, size = [], 0
            yield b"".join(ready)
            for other in others:
                if await other.peek() is not None:
                    raise DamagedBlob(f"{other.name}: damaged: it has a result that is not in the batch's order")


class _Line(Struct, frozen=True):
    text: bytes
    custom_id: str
    succeeded: bool


class _ResultFile:
    """A result file that is read line by line."""

    def __init__(self, blob: StoredBlob, pieces: ByteStream, read: Callable[[bytes], list[_Line]]) -> None:
        self.name = blob.name
        self._groups = complete_lines(blob.name, pieces)
        self._read = read
        self._lines = deque[_Line]()

    async def peek(self) -> _Line | None:
        """Return the next line and stay before it; None at the end. Raises `DamagedBlob`."""
        while not self._lines:
            group = await anext(self._groups, None)
            if group is None:
                return None
            try:
                self._lines.extend(await asyncio.to_thread(self._read, group))
            except DECODING_ERRORS as error:
                raise DamagedBlob(f"{self.name}: damaged: a line cannot be decoded") from error
        return self._lines[0]

    async def next(self) -> _Line | None:
        """Return the next line and go on; None at the end. Raises `DamagedBlob`."""
        line = await self.peek()
        if line is not None:
            self._lines.popleft()
        return line


def _read_lines(rows: RowFormat, group: bytes) -> list[_Line]:
    found = ((text, rows.outcome(text)) for text in BytesIO(group))
    return [_Line(text, outcome.custom_id, outcome.failure is None) for text, outcome in found]


async def _chosen(line: _Line, retries: Sequence[_ResultFile]) -> _Line:
    """Return the result of a request that counts, of the batch's own and those that its retries have next."""
    for retry in retries:
        found = await retry.peek()
        if found is not None and found.custom_id == line.custom_id:
            await retry.next()
            if found.succeeded or not line.succeeded:
                line = found
    return line
