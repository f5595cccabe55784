"""Reads the results of a batch that still runs, and goes on from its result file if it ends meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

from batchgate.engine.model.batch import Batch
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.store import Store
from batchgate.engine.results.finalizer import merge_chunks


class PartialResults:
    """Reads what is there, shard by shard, each in the order of submission."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    async def read(self, batch: Batch) -> AsyncIterator[bytes]:
        """Yield the lines of a batch that had not ended when it was found."""
        claims = await self._store.list_shards(batch)
        if not claims:  # it has ended since it was found
            ended = await self._store.find_batch_by_key(batch.key)
            if ended is not None and ended.results_blob is not None:
                async for piece in self._from_line(ended.results_blob, 0):
                    yield piece
        for claim in claims:
            merged = merge_chunks(await self._store.read_chunks(batch.key, claim.shard.index))
            now = await self._store.find_batch_by_key(batch.key)
            if now is not None and now.results_blob is not None:
                # Finalized since, its chunks are going or gone: from here on the file has every line.
                async for piece in self._from_line(now.results_blob, claim.shard.first_seq):
                    yield piece
                return
            if merged:
                yield b"".join(merged[seq] for seq in sorted(merged))

    async def _from_line(self, name: str, first: int) -> AsyncIterator[bytes]:
        passed = 0
        async for piece in self._blobs.stream(name):
            if passed >= first:
                yield piece
                continue
            lines = piece.splitlines(keepends=True)
            complete = sum(line.endswith(b"\n") for line in lines)
            if passed + complete >= first:
                yield b"".join(lines[first - passed :])
            passed += complete
