"""Finalization: merges the chunks of a finished batch, in the order of submission, into its result file."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import DAY, Clock
from batchgate.engine.model.errors import BlobError
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.shard import Chunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.blobs import Blobs, BlobWriter
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.results.file_views import new_result_files
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.batch_tasks import BatchTasks
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit
from batchgate.engine.support.health_problems import ReportHealth
from batchgate.engine.support.prefetch import prefetch

logger = logging.getLogger(__name__)

INPUT_RETRY_PERIOD = DAY
"""How long after a cancel or expiry an input that cannot be read is waited for: somebody may bring it back.

It is only needed for the custom_ids of requests without a result. After that the batch ends without their lines, since
one that never ended could not be deleted either.
"""

SHARDS_AHEAD = 2
"""How many shards are read while one is written."""


class _WrittenResults(Struct, frozen=True):
    """What a result file holds."""

    counts: Counts
    size: int
    output_size: int


class _MergedShard(Struct, frozen=True, kw_only=True):
    """What a result file holds of one shard."""

    lines: bytes
    succeeded: int
    errored: int
    unfinished: int
    output_size: int


class Finalizer:
    """Finalizes one batch after another, as they are handed to it."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        orphan_blobs: OrphanBlobs,
        rows: Mapping[Dialect, RowFormat],
        clock: Clock,
        cluster: Cluster,
        report: ReportHealth,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._orphan_blobs = orphan_blobs
        self._rows = rows
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = BatchTasks("finalization", self._finalize, cluster, report)

    def add(self, batch_key: int) -> None:
        """Line up a batch whose shards are all done; asked twice, it is finalized once."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Finalize until cancelled; what fails is reported and tried again, and holds up no other batch."""
        await self._tasks.run()

    async def _finalize(self, key: int) -> None:
        batch = await self._store.find_batch_by_key(key)
        if batch is None:
            return
        if batch.ended_at is None:
            await self._end(batch)
        await self._store.drop_chunks(key)
        hit("chunks_deleted")

    async def _end(self, batch: Batch) -> None:
        begun, name = time.perf_counter(), new_results_blob(batch)
        async with self._orphan_blobs.open_writer(batch.id, name) as writer:
            finalized = await self._write(batch, writer)
            await writer.commit()
            hit("result_file_written")
            ended = await shielded(self._mark(batch, name, finalized))
        hit("batch_marked")
        if ended:
            self._telemetry.batch_finalized(batch, finalized.counts, seconds=time.perf_counter() - begun)

    async def _mark(self, batch: Batch, name: str, finalized: _WrittenResults) -> bool:
        now = self._clock.now()
        return await self._store.end_batch(
            batch.key,
            counts=finalized.counts,
            results_blob=name,
            results_size=finalized.size,
            output_size=finalized.output_size,
            files=new_result_files(batch, finalized.size, finalized.output_size, now),
            now=now,
        )

    async def _write(self, batch: Batch, writer: BlobWriter) -> _WrittenResults:
        succeeded = errored = unfinished = size = output_size = 0
        ending = batch.unfinished_status
        shards = (self._shard(batch, claim, ending) for claim in await self._store.list_shards(batch))
        async for shard in prefetch(shards, ahead=SHARDS_AHEAD):
            succeeded += shard.succeeded
            errored += shard.errored
            unfinished += shard.unfinished
            output_size += shard.output_size
            await writer.write(shard.lines)
            hit("finalizing_started")
            size += len(shard.lines)
        counts = Counts(total=batch.counts.total, succeeded=succeeded, errored=errored)
        return _WrittenResults(msgspec.structs.replace(counts, **{ending: unfinished}), size, output_size)

    async def _shard(self, batch: Batch, claim: Claim, ending: Literal["canceled", "expired"]) -> _MergedShard:
        chunks = await self._store.read_chunks(batch.key, claim.shard.index)
        merged, answers = await asyncio.to_thread(self._merge, batch, chunks)
        unfinished = await self._fill(claim, merged, ending)
        return _MergedShard(
            lines=b"".join(merged[seq] for seq in sorted(merged)),
            succeeded=sum(chunk.succeeded for chunk in chunks),
            errored=sum(chunk.errored for chunk in chunks),
            unfinished=unfinished,
            output_size=answers,
        )

    def _merge(self, batch: Batch, chunks: Sequence[Chunk]) -> tuple[dict[int, bytes], int]:
        """Bring the lines of a shard under their seqs, and count the bytes of the answers among them."""
        return merge_chunks(chunks), sum(self._answers(batch, chunk) for chunk in chunks)

    def _answers(self, batch: Batch, chunk: Chunk) -> int:
        """Count the bytes of those lines that are answers."""
        if not chunk.errored:
            return len(chunk.lines)
        is_success = self._rows[batch.dialect].is_success
        return sum(len(line) for line in chunk.lines.splitlines(keepends=True) if is_success(line))

    async def _fill(self, claim: Claim, merged: dict[int, bytes], ending: Literal["canceled", "expired"]) -> int:
        """Write lines for the requests of a shard that have none; returns how many."""
        shard, rows = claim.shard, self._rows[claim.batch.dialect]
        missing = shard.requests - len(merged)
        if missing:
            for seq, line in await self._input(claim, missing):
                if seq not in merged:
                    merged[seq] = rows.unfinished_line(rows.custom_id(line), ending)
        return missing

    async def _input(self, claim: Claim, missing: int) -> list[tuple[int, bytes]]:
        """Read the input of a shard; nothing once it has been waited for in vain."""
        try:
            return await read_input_lines(self._blobs, claim)
        except BlobError as error:
            if self._clock.now() < claim.batch.stopped_at + INPUT_RETRY_PERIOD:
                raise
            fields = {"action": "request_lines_missing", "batch": claim.batch.id, "shard": claim.shard.index}
            logger.error("no lines for %d requests without a result: %s", missing, error, extra=fields)  # noqa: TRY400
            return []


def merge_chunks(chunks: Sequence[Chunk]) -> dict[int, bytes]:
    """Bring the lines of a shard's chunks under their seqs."""
    return {
        seq: line
        for chunk in chunks
        for seq, line in zip(chunk.seqs, chunk.lines.splitlines(keepends=True), strict=True)
    }


def new_results_blob(batch: Batch) -> str:
    """Name a blob for a batch's results, a new one each time.

    Two that finalize the same batch, one of them taken for dead, must not write to one file: the second may begin when the
    first has deleted chunks. The store decides whose file it is.
    """
    return f"batches/{batch.id}/{new_id('results')}.jsonl"
