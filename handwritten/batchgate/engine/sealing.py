"""Sealing: merges the chunks of a finished batch, in the order of submission, into its result file."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from batchgate.engine.ahead import in_order
from batchgate.engine.batch import Batch, Chunk, Claim, Counts, Dialect
from batchgate.engine.batch_files import result_files
from batchgate.engine.clock import DAY, Clock
from batchgate.engine.errands import Errands
from batchgate.engine.errors import BlobError
from batchgate.engine.failpoints import hit
from batchgate.engine.ids import new_id
from batchgate.engine.input_lines import input_lines
from batchgate.engine.loose_blobs import LooseBlobs
from batchgate.engine.peers import Peers
from batchgate.engine.ports import Blobs, BlobWriter, Store
from batchgate.engine.problems import Report
from batchgate.engine.rows import RowFormat
from batchgate.engine.telemetry import Telemetry
from batchgate.engine.unbroken import unbroken

logger = logging.getLogger(__name__)

INPUT_PATIENCE = DAY
"""How long after a cancel or expiry an input that cannot be read is waited for: somebody may bring it back.

It is only needed for the custom_ids of requests without a result. After that the batch ends without their lines, since
one that never ended could not be deleted either.
"""

SHARDS_AHEAD = 2
"""How many shards are read while one is written."""


class _Sealed(Struct, frozen=True):
    """What a result file holds."""

    counts: Counts
    size: int
    output_size: int


class _SealedShard(Struct, frozen=True, kw_only=True):
    """What a result file holds of one shard."""

    lines: bytes
    succeeded: int
    errored: int
    unfinished: int
    output_size: int


class Sealer:
    """Seals one batch after another, as they are handed to it."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        loose_blobs: LooseBlobs,
        rows: Mapping[Dialect, RowFormat],
        clock: Clock,
        peers: Peers,
        report: Report,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._loose_blobs = loose_blobs
        self._rows = rows
        self._clock = clock
        self._telemetry = telemetry
        self._errands = Errands("sealing", self._seal, peers, report)

    def add(self, batch_key: int) -> None:
        """Line up a batch whose shards are all done; asked twice, it is sealed once."""
        self._errands.add(batch_key)

    async def run(self) -> None:
        """Seal until cancelled; what fails is reported and tried again, and holds up no other batch."""
        await self._errands.run()

    async def _seal(self, key: int) -> None:
        batch = await self._store.batch_by_key(key)
        if batch is None:
            return
        if batch.ended_at is None:
            await self._end(batch)
        await self._store.drop_chunks(key)
        hit("chunks_deleted")

    async def _end(self, batch: Batch) -> None:
        begun, name = time.perf_counter(), results_name(batch)
        async with self._loose_blobs.writing(batch.id, name) as writer:
            sealed = await self._write(batch, writer)
            await writer.commit()
            hit("result_file_written")
            ended = await unbroken(self._mark(batch, name, sealed))
        hit("batch_marked")
        if ended:
            self._telemetry.batch_sealed(batch, sealed.counts, seconds=time.perf_counter() - begun)

    async def _mark(self, batch: Batch, name: str, sealed: _Sealed) -> bool:
        now = self._clock.now()
        return await self._store.end_batch(
            batch.key,
            counts=sealed.counts,
            results_blob=name,
            results_size=sealed.size,
            output_size=sealed.output_size,
            files=result_files(batch, sealed.size, sealed.output_size, now),
            now=now,
        )

    async def _write(self, batch: Batch, writer: BlobWriter) -> _Sealed:
        succeeded = errored = unfinished = size = output_size = 0
        ending, _ = batch.cut_off
        shards = (self._shard(batch, claim, ending) for claim in await self._store.shard_claims(batch))
        async for shard in in_order(shards, ahead=SHARDS_AHEAD):
            succeeded += shard.succeeded
            errored += shard.errored
            unfinished += shard.unfinished
            output_size += shard.output_size
            await writer.write(shard.lines)
            hit("sealing_begun")
            size += len(shard.lines)
        counts = Counts(total=batch.counts.total, succeeded=succeeded, errored=errored)
        return _Sealed(msgspec.structs.replace(counts, **{ending: unfinished}), size, output_size)

    async def _shard(self, batch: Batch, claim: Claim, ending: Literal["canceled", "expired"]) -> _SealedShard:
        chunks = await self._store.read_chunks(batch.key, claim.shard.index)
        merged, answers = await asyncio.to_thread(self._merge, batch, chunks)
        unfinished = await self._fill(claim, merged, ending)
        return _SealedShard(
            lines=b"".join(merged[seq] for seq in sorted(merged)),
            succeeded=sum(chunk.succeeded for chunk in chunks),
            errored=sum(chunk.errored for chunk in chunks),
            unfinished=unfinished,
            output_size=answers,
        )

    def _merge(self, batch: Batch, chunks: Sequence[Chunk]) -> tuple[dict[int, bytes], int]:
        """Bring the lines of a shard under their seqs, and count the bytes of the answers among them."""
        return merge(chunks), sum(self._answers(batch, chunk) for chunk in chunks)

    def _answers(self, batch: Batch, chunk: Chunk) -> int:
        """Count the bytes of those lines that are answers."""
        if not chunk.errored:
            return len(chunk.lines)
        is_answer = self._rows[batch.dialect].is_answer
        return sum(len(line) for line in chunk.lines.splitlines(keepends=True) if is_answer(line))

    async def _fill(self, claim: Claim, merged: dict[int, bytes], ending: Literal["canceled", "expired"]) -> int:
        """Write lines for the requests of a shard that have none; returns how many."""
        shard, rows = claim.shard, self._rows[claim.batch.dialect]
        missing = shard.requests - len(merged)
        if missing:
            for seq, line in await self._input(claim, missing):
                if seq not in merged:
                    merged[seq] = rows.unfinished(rows.custom_id(line), ending)
        return missing

    async def _input(self, claim: Claim, missing: int) -> list[tuple[int, bytes]]:
        """Read the input of a shard; nothing once it has been waited for in vain."""
        _, since = claim.batch.cut_off
        try:
            return await input_lines(self._blobs, claim)
        except BlobError as error:
            if self._clock.now() < since + INPUT_PATIENCE:
                raise
            fields = {"action": "lines_missing", "batch": claim.batch.id, "shard": claim.shard.index}
            logger.error("no lines for %d requests without a result: %s", missing, error, extra=fields)  # noqa: TRY400
            return []


def merge(chunks: Sequence[Chunk]) -> dict[int, bytes]:
    """Bring the lines of a shard's chunks under their seqs."""
    return {
        seq: line
        for chunk in chunks
        for seq, line in zip(chunk.seqs, chunk.lines.splitlines(keepends=True), strict=True)
    }


def results_name(batch: Batch) -> str:
    """Name a blob for a batch's results, a new one each time.

    Two that seal the same batch, one of them taken for dead, must not write to one file: the second may begin when the
    first has deleted chunks. The store decides whose file it is.
    """
    return f"batches/{batch.id}/{new_id('results')}.jsonl"
