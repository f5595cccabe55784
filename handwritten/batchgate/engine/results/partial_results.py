"""Reads the results of a running batch; if the batch ends meanwhile, the rest comes from its result file."""

from __future__ import annotations

from contextlib import aclosing

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.errors import BlobError
from batchgate.engine.model.stored_blob import stored_results
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.ports.store import Store
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.results.shard_lines import ChunksDropped, ShardLines


class _Position(Struct):
    """The next byte to send: a byte of the line of a request."""

    seq: int = 0
    offset: int = 0


class PartialResults:
    """Reads the present results shard by shard, each shard in the order of submission, in small pieces."""

    def __init__(self, store: Store, contents: ContentRenderer) -> None:
        self._store = store
        self._contents = contents

    async def read(self, batch: Batch) -> ByteStream:
        """Yield the result lines of a batch that had not ended when it was read."""
        position = _Position()
        try:
            async with aclosing(self._chunks(batch, position)) as pieces:
                async for piece in pieces:
                    yield piece
        except ChunksDropped:  # the result file has every line
            async with aclosing(self._result_file(batch, position)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _chunks(self, batch: Batch, position: _Position) -> ByteStream:
        """Yield the lines of chunks; raises `ChunksDropped` with the position from which the lines are missing."""
        shards = [(claim.shard.index, claim.shard.first_seq) for claim in await self._store.list_shards(batch)]
        if not shards:  # the batch has ended since
            raise ChunksDropped
        for shard, first_seq in shards:
            position.seq, position.offset = first_seq, 0
            lines = ShardLines(self._store, batch.key, shard)
            windows = await lines.locate()
            current = await self._store.find_batch_by_key(batch.key)
            if current is None or current.ended_at is not None:  # some chunks may have been dropped before
                raise ChunksDropped
            for window in windows:
                position.seq, position.offset = window.seq, window.offset
                yield await lines.read(window)

    async def _result_file(self, batch: Batch, position: _Position) -> ByteStream:
        """Yield the result file from a position; nothing if the batch ended without results."""
        ended = await self._store.find_batch_by_key(batch.key)
        if ended is None or ended.archived_at is not None:
            raise BlobError(f"{batch.id}: its results were removed while they were read")
        if ended.results_blob is None:
            return
        lines, skipped = position.seq, position.offset
        async with aclosing(self._contents.read(stored_results(ended))) as pieces:
            async for piece in pieces:
                rest = memoryview(piece)
                if lines:
                    passed, lines = _after_lines(piece, lines)
                    rest = rest[passed:]
                if not lines and rest:
                    begun, skipped = min(skipped, len(rest)), max(0, skipped - len(rest))
                    if begun < len(rest):
                        yield bytes(rest[begun:])


def _after_lines(piece: bytes, lines: int) -> tuple[int, int]:
    """Return where a number of lines ends in a piece, and how many lines end after the piece."""
    end = 0
    while lines:
        found = piece.find(b"\n", end)
        if found < 0:
            return len(piece), lines
        end, lines = found + 1, lines - 1
    return end, 0
