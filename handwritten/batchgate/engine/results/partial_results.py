"""Reads the results of a running batch; if the batch ends meanwhile, the rest comes from its result file."""

from __future__ import annotations

from contextlib import aclosing

from batchgate.engine.model.batch import Batch
from batchgate.engine.ports.blobs import Blobs, ByteStream
from batchgate.engine.ports.store import Store
from batchgate.engine.results.chunk_merging import merge_chunks
from batchgate.engine.storage.verified_reading import verified


class PartialResults:
    """Reads the present results shard by shard, each shard in the order of submission."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    async def read(self, batch: Batch) -> ByteStream:
        """Yield the result lines of a batch that had not ended when it was read."""
        claims = await self._store.list_shards(batch)
        if not claims:  # the batch has ended since
            ended = await self._store.find_batch_by_key(batch.key)
            if ended is not None and ended.results_blob is not None:
                async with aclosing(self._result_file(ended, ended.results_blob, first_line=0)) as pieces:
                    async for piece in pieces:
                        yield piece
        for claim in claims:
            merged = merge_chunks(await self._store.read_chunks(batch.key, claim.shard.index))
            current = await self._store.find_batch_by_key(batch.key)
            if current is not None and current.results_blob is not None:
                # The batch was finalized, so its chunks may be deleted already; the result file has every line.
                rest = self._result_file(current, current.results_blob, first_line=claim.shard.first_seq)
                async with aclosing(rest) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            if merged:
                yield b"".join(merged[seq] for seq in sorted(merged))

    async def _result_file(self, batch: Batch, name: str, *, first_line: int) -> ByteStream:
        passed, stored = 0, self._blobs.stream(name, for_caller=True)
        checked = verified(name, stored, size=batch.results_size, sha256=batch.results_sha256)
        async with aclosing(checked) as pieces:
            async for piece in pieces:
                if passed >= first_line:
                    yield piece
                    continue
                lines = piece.splitlines(keepends=True)
                complete = sum(line.endswith(b"\n") for line in lines)
                if passed + complete >= first_line:
                    yield b"".join(lines[first_line - passed :])
                passed += complete
