"""Renders the lines of a batch for callers: all results in one dialect, or one part of the batch as a file."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.model.file import BatchPart
from batchgate.engine.model.stored_blob import StoredBlob, stored_results
from batchgate.engine.ports.blobs import Blobs, ByteStream
from batchgate.engine.ports.rows import LineTranslator, RowFormat
from batchgate.engine.storage.damaged_blobs import DamagedBlobs
from batchgate.engine.storage.verified_reading import verified

MAX_CACHED_SIZES: Final = 10_000
"""The maximum number of computed sizes that are cached; a size never changes."""

LineTransform: TypeAlias = Callable[[bytes], bytes]
"""Converts one line; returns empty bytes to omit it."""


class RenderedContent(Struct, frozen=True, kw_only=True):
    """The bytes of a response body."""

    pieces: Callable[[], ByteStream]
    """Reads the content from its beginning, in pieces for a caller."""
    blob: str | None = None
    """The blob that consists of exactly this content, if there is one; it can be sent directly."""
    size: int | None = None
    """The size in bytes, if it is known."""
    sha256: bytes | None = None
    """The SHA-256 of the content, if it is known."""
    watching: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Opens a context in which ``blob`` is read directly: a `DamagedBlob` that is raised there is reported."""


class ContentRenderer:
    """Renders results and files of batches; lines that need translation are translated while they are sent."""

    def __init__(
        self, blobs: Blobs, damaged: DamagedBlobs, rows: Mapping[Dialect, RowFormat], translator: LineTranslator
    ) -> None:
        self._blobs = blobs
        self._damaged = damaged
        self._rows = rows
        self._translator = translator
        self._sizes: OrderedDict[tuple[str, BatchPart], int] = OrderedDict()

    def stored_blob(self, blob: StoredBlob) -> RenderedContent:
        """Return a blob as it is stored."""
        return RenderedContent(
            pieces=lambda: self.read(blob),
            blob=blob.name,
            size=blob.size,
            sha256=blob.sha256,
            watching=lambda: self._damaged.watching(blob),
        )

    def read(self, blob: StoredBlob) -> ByteStream:
        """Read a blob through for a caller, and verify it; if it is damaged, the stream ends as an error."""
        pieces = self._blobs.stream(blob.name, for_caller=True)
        return self._damaged.watch(blob, verified(blob.name, pieces, size=blob.size, sha256=blob.sha256))

    def results(self, batch: Batch, dialect: Dialect) -> RenderedContent:
        """Return all results of a batch that has a result file, in a dialect and in the order of submission."""
        results = stored_results(batch)
        if dialect == batch.dialect:
            return self.stored_blob(results)
        return self._transformed_results(results, partial(self._translator.result_line, batch, dialect=dialect))

    def batch_part(self, batch: Batch, part: BatchPart) -> RenderedContent:
        """Return an existing part of a batch in OpenAI's dialect, which is that of files."""
        if part == "input":
            return self._input(batch)
        results, size = stored_results(batch), _stored_part_size(batch, part)
        if batch.dialect == "openai" and size == batch.results_size:
            return self.stored_blob(results)
        is_success, wanted = self._rows[batch.dialect].is_success, part == "output"

        def line_of_part(line: bytes) -> bytes:
            return self._translator.result_line(batch, line, "openai") if is_success(line) == wanted else b""

        return self._transformed_results(results, line_of_part, size if batch.dialect == "openai" else None)

    async def part_size(self, batch: Batch, part: BatchPart) -> int:
        """Return the size of a part in bytes; an unknown size is computed once and cached."""
        content, key = self.batch_part(batch, part), (batch.id, part)
        size = content.size if content.size is not None else self._sizes.get(key)
        if size is None:
            size = self._sizes[key] = sum([len(piece) async for piece in content.pieces()])
            if len(self._sizes) > MAX_CACHED_SIZES:
                self._sizes.popitem(last=False)
        return size

    def _input(self, batch: Batch) -> RenderedContent:
        blob = batch.input_blob
        assert blob is not None
        if batch.dialect == "openai":
            return RenderedContent(pieces=lambda: self._blobs.stream(blob, for_caller=True), blob=blob)
        transform = partial(self._translator.request_line, batch, dialect="openai")
        return RenderedContent(pieces=lambda: _transform(blob, self._blobs.stream(blob, for_caller=True), transform))

    def _transformed_results(
        self, results: StoredBlob, transform: LineTransform, size: int | None = None
    ) -> RenderedContent:
        """Return transformed lines of a result file, which is verified while it is read."""
        return RenderedContent(pieces=lambda: _transform(results.name, self.read(results), transform), size=size)


async def _transform(blob: str, pieces: ByteStream, transform: LineTransform) -> ByteStream:
    """Yield the transformed lines of a blob; raises `DamagedBlob` if the blob is damaged.

    A thread transforms a piece of the blob at a time.
    """
    async with aclosing(complete_lines(blob, pieces)) as groups:
        async for lines in groups:
            if lines := await asyncio.to_thread(_transform_lines, blob, lines, transform):
                yield lines


def _stored_part_size(batch: Batch, part: BatchPart) -> int | None:
    if batch.results_size is None or batch.output_size is None:
        return None
    return batch.output_size if part == "output" else batch.results_size - batch.output_size


async def complete_lines(name: str, pieces: ByteStream) -> ByteStream:
    """Cut the pieces of a blob so that each ends with a line end; raises `DamagedBlob` if the blob does not."""
    held: list[bytes] = []
    async with aclosing(pieces):
        async for piece in pieces:
            end = piece.rfind(b"\n") + 1
            if not end:
                held.append(piece)
                continue
            lines = b"".join((*held, piece[:end]))
            held = [piece[end:]] if end < len(piece) else []
            del piece  # a caller that stops reading holds as little as possible
            yield lines
    if held:
        raise DamagedBlob(f"{name}: damaged: its last line has no end")


def _transform_lines(blob: str, lines: bytes, transform: LineTransform) -> bytes:
    try:
        return b"".join([transform(line) for line in lines.splitlines(keepends=True)])
    except DECODING_ERRORS as error:
        raise DamagedBlob(f"{blob}: damaged: a line cannot be decoded") from error
