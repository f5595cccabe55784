"""Sealing: merges the chunks of a finished batch, in the order of submission, into its result file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from batchgate.engine.batch import Batch, Chunk, Claim, Counts
from batchgate.engine.clock import Clock
from batchgate.engine.errors import BlobError, StoreError
from batchgate.engine.ports import Blobs, BlobWriter, Store
from batchgate.engine.rows import RowFormat
from batchgate.engine.shard_run import STORAGE_RETRY, Report


class Sealer:
    """Seals one batch after another, as they are handed to it."""

    def __init__(self, *, store: Store, blobs: Blobs, rows: RowFormat, clock: Clock, report: Report) -> None:
        self._store = store
        self._blobs = blobs
        self._rows = rows
        self._clock = clock
        self._report = report
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._known: set[int] = set()

    def add(self, batch_key: int) -> None:
        """Line up a batch whose shards are all done; asked twice, it is sealed once."""
        if batch_key not in self._known:
            self._known.add(batch_key)
            self._waiting.put_nowait(batch_key)

    async def run(self) -> None:
        """Seal until cancelled; a fault of storage is reported and the batch tried again."""
        while True:
            key = await self._waiting.get()
            try:
                await self._seal(key)
            except (StoreError, BlobError) as error:
                self._report("sealing", error)
                self._waiting.put_nowait(key)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("sealing", None)
                self._known.discard(key)

    async def _seal(self, key: int) -> None:
        batch = await self._store.batch_by_key(key)
        if batch is None or batch.status == "ended":
            return
        name = results_name(batch)
        writer = self._blobs.writer(name)
        try:
            counts, size = await self._write(batch, writer)
            await writer.commit()
        except BaseException:
            await writer.abort()
            raise
        await self._store.end_batch(key, counts=counts, results_blob=name, results_size=size, now=self._clock.now())

    async def _write(self, batch: Batch, writer: BlobWriter) -> tuple[Counts, int]:
        succeeded = errored = unfinished = size = 0
        ending: Literal["canceled", "expired"] = "expired" if batch.cancel_initiated_at is None else "canceled"
        for claim in await self._store.shard_claims(batch):
            chunks = await self._store.read_chunks(batch.key, claim.shard.index)
            merged = merge(chunks)
            succeeded += sum(chunk.succeeded for chunk in chunks)
            errored += sum(chunk.errored for chunk in chunks)
            unfinished += await self._fill(claim, merged, ending)
            data = b"".join(merged[seq] for seq in sorted(merged))
            await writer.write(data)
            size += len(data)
        counts = Counts(total=batch.counts.total, succeeded=succeeded, errored=errored)
        return msgspec.structs.replace(counts, **{ending: unfinished}), size

    async def _fill(self, claim: Claim, merged: dict[int, bytes], ending: Literal["canceled", "expired"]) -> int:
        """Write lines for the requests of a shard that have none; returns how many."""
        shard = claim.shard
        missing = shard.requests - len(merged)
        if missing:
            data = await self._blobs.read_range(claim.batch.input_blob, shard.offset, shard.length)
            for seq, line in enumerate(data.splitlines(keepends=True), shard.first_seq):
                if seq not in merged:
                    merged[seq] = self._rows.unfinished(self._rows.custom_id(line), ending)
        return missing


def merge(chunks: Sequence[Chunk]) -> dict[int, bytes]:
    """Bring the lines of a shard's chunks under their seqs."""
    return {
        seq: line
        for chunk in chunks
        for seq, line in zip(chunk.seqs, chunk.lines.splitlines(keepends=True), strict=True)
    }


def results_name(batch: Batch) -> str:
    """Name the blob of a batch's results."""
    return f"batches/{batch.id}/results.jsonl"
