"""The lines of batches as callers read them: all results in one dialect, or a part of a batch as a file."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from batchgate.engine.model.batch import Batch, BatchPart, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.rows import LineTranslator, RowFormat

MAX_CACHED_SIZES: Final = 10_000
"""How many measured sizes are remembered; they never change."""

LineTransform: TypeAlias = Callable[[bytes], bytes]
"""Says a line otherwise; nothing at all if it is left out."""


class Content(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    pieces: Callable[[], AsyncIterator[bytes]]
    """Reads it from its beginning."""
    blob: str | None = None
    """The blob that holds just this, if there is one: it can be sent without being looked into."""
    size: int | None = None
    """Bytes, where they are known."""


class ContentRenderer:
    """Makes contents of batches; what has to be said otherwise is said line by line while it is sent."""

    def __init__(self, blobs: Blobs, rows: Mapping[Dialect, RowFormat], translator: LineTranslator) -> None:
        self._blobs = blobs
        self._rows = rows
        self._translator = translator
        self._sizes: OrderedDict[tuple[str, BatchPart], int] = OrderedDict()

    def stored_blob(self, blob: str, size: int | None) -> Content:
        """Say a blob as it is."""
        return Content(pieces=lambda: self._blobs.stream(blob), blob=blob, size=size)

    def results(self, batch: Batch, dialect: Dialect) -> Content:
        """Say all results of a batch that has some, in the order of submission, in a dialect."""
        assert batch.results_blob is not None
        if dialect == batch.dialect:
            return self.stored_blob(batch.results_blob, batch.results_size)
        say = partial(self._translator.result_line, batch, dialect=dialect)
        return self._lined(batch.results_blob, say, whole=batch.results_size)

    def batch_part(self, batch: Batch, part: BatchPart) -> Content:
        """Say a part of a batch that has it, in the dialect of files, OpenAI's."""
        blob = batch.input_blob if part == "input" else batch.results_blob
        assert blob is not None
        if part == "input":
            return self._input(batch, blob)
        size = self._part_size(batch, part)
        if batch.dialect == "openai" and size == batch.results_size:
            return self.stored_blob(blob, size)
        is_success, wanted = self._rows[batch.dialect].is_success, part == "output"

        def line_of_part(line: bytes) -> bytes:
            return self._translator.result_line(batch, line, "openai") if is_success(line) == wanted else b""

        known = size if batch.dialect == "openai" else None
        return self._lined(blob, line_of_part, size=known, whole=batch.results_size)

    async def part_size(self, batch: Batch, part: BatchPart) -> int:
        """Tell the bytes of a part; where they have to be counted, that is done once."""
        content, key = self.batch_part(batch, part), (batch.id, part)
        size = content.size if content.size is not None else self._sizes.get(key)
        if size is None:
            size = self._sizes[key] = sum([len(piece) async for piece in content.pieces()])
            if len(self._sizes) > MAX_CACHED_SIZES:
                self._sizes.popitem(last=False)
        return size

    def _input(self, batch: Batch, blob: str) -> Content:
        if batch.dialect == "openai":
            return self.stored_blob(blob, None)
        return self._lined(blob, partial(self._translator.request_line, batch, dialect="openai"))

    def _part_size(self, batch: Batch, part: BatchPart) -> int | None:
        if batch.results_size is None or batch.output_size is None:
            return None
        return batch.output_size if part == "output" else batch.results_size - batch.output_size

    def _lined(self, blob: str, say: LineTransform, *, size: int | None = None, whole: int | None = None) -> Content:
        return Content(pieces=lambda: self._said(blob, say, whole), size=size)

    async def _said(self, blob: str, say: LineTransform, whole: int | None) -> AsyncIterator[bytes]:
        """Yield what becomes of the lines of a blob, which has ``whole`` bytes if that is known.

        They are worked on in a thread, about a megabyte at a time. Raises `BlobError` where the blob is damaged.
        """
        read = 0
        async for lines in complete_lines(blob, self._blobs.stream(blob)):
            read += sum(map(len, lines))
            if said := await asyncio.to_thread(_say_all, blob, lines, say):
                yield said
        if whole is not None and read != whole:
            raise BlobError(f"{blob}: damaged: {read} bytes, not {whole}")


async def complete_lines(name: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield pieces of a blob as lists of parts that end at the end of a line; raises `BlobError` if it does not."""
    held: list[bytes] = []
    async for piece in pieces:
        head, newline, rest = piece.rpartition(b"\n")
        if not newline:
            held.append(piece)
            continue
        yield [*held, head + newline]
        held = [rest] if rest else []
    if held:
        raise BlobError(f"{name}: damaged: its last line has no end")


def _say_all(blob: str, parts: list[bytes], say: LineTransform) -> bytes:
    try:
        return b"".join([say(line) for line in b"".join(parts).splitlines(keepends=True)])
    except DECODING_ERRORS as error:
        raise BlobError(f"{blob}: damaged: a line is not what was written") from error
