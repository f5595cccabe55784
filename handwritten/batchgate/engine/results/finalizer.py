"""Finalizes batches: merges the chunks of a finished batch into its result file, in the order of submission."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import DAY, ExpiryClock
from batchgate.engine.model.errors import BlobError
from batchgate.engine.model.failure import FIRST_REQUESTS, FailedRequest, FailureGroup, failed_request, unfinished_group
from batchgate.engine.model.file import BatchPart
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.blobs import Blobs, BlobWriter
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.results.chunk_merging import merge_chunks
from batchgate.engine.results.file_views import new_result_files
from batchgate.engine.results.result_hashes import ResultHashes
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.batch_task_queue import BatchTaskQueue
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.support.prefetch import prefetch

logger = logging.getLogger(__name__)

INPUT_RETRY_PERIOD = DAY
"""The time after a cancel or expiry for which an unreadable input is retried: an operator may restore it.

Finalization needs the input only for the custom_ids of requests without a result. After this time the batch ends
without their lines, because a batch that never ends cannot be deleted.
"""

SHARDS_AHEAD = 2
"""The number of shards that are read while another one is written."""


class _WrittenResults(Struct, frozen=True):
    """The contents of a result file: counts, sizes in bytes, and hashes."""

    counts: Counts
    size: int
    output_size: int
    hashes: ResultHashes
    unfinished: FailureGroup | None
    """The requests that got their result here."""

    @property
    def parts(self) -> Mapping[BatchPart, tuple[int, bytes]]:
        """The size and the SHA-256 of the output and the error file."""
        error_size = self.size - self.output_size
        return {"output": (self.output_size, self.hashes.output), "error": (error_size, self.hashes.error)}


class _MergedShard(Struct, frozen=True, kw_only=True):
    """The results of one shard in the order of submission: all lines, the successful ones, and the others."""

    lines: bytes
    output: bytes
    error: bytes
    succeeded: int
    errored: int
    unfinished: int
    added: int
    """How many of the unfinished requests had no line in a chunk."""
    first_added: Sequence[FailedRequest]
    """The first of these."""


class Finalizer:
    """Finalizes batches, one after another."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        orphan_blobs: OrphanBlobs,
        rows: Mapping[Dialect, RowFormat],
        clock: ExpiryClock,
        cluster: Cluster,
        report: HealthReporter,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._orphan_blobs = orphan_blobs
        self._rows = rows
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = BatchTaskQueue("finalization", self._finalize, cluster, report)

    def add(self, batch_key: int) -> None:
        """Enqueue a batch whose shards are all done; does nothing if it is enqueued already."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Finalize until cancelled; a failure is reported and retried later, and does not delay other batches."""
        await self._tasks.run()

    async def _finalize(self, key: int) -> None:
        batch = await self._store.find_batch_by_key(key)
        if batch is None:
            return
        if batch.ended_at is None:
            await self._write_results(batch)
        await self._store.drop_chunks(key)
        hit_failpoint("chunks_deleted")

    async def _write_results(self, batch: Batch) -> None:
        begun, name = time.perf_counter(), new_results_blob(batch)
        async with self._orphan_blobs.open_writer(batch.id, name) as writer:
            written = await self._write_shards(batch, writer)
            await writer.commit()
            hit_failpoint("result_file_written")
            ended = await shielded(self._end_batch(batch, name, written))
        hit_failpoint("batch_marked")
        if ended:
            self._telemetry.batch_finalized(batch, written.counts, seconds=time.perf_counter() - begun)

    async def _end_batch(self, batch: Batch, name: str, written: _WrittenResults) -> bool:
        now = self._clock.now()
        return await self._store.end_batch(
            batch.key,
            counts=written.counts,
            results_blob=name,
            results_size=written.size,
            results_sha256=written.hashes.whole,
            output_size=written.output_size,
            unfinished=written.unfinished,
            files=new_result_files(batch, written.parts, now),
            now=now,
        )

    async def _write_shards(self, batch: Batch, writer: BlobWriter) -> _WrittenResults:
        succeeded = errored = unfinished = added = size = output_size = 0
        status, hashes = batch.unfinished_status, ResultHashes()
        first_added: list[FailedRequest] = []
        shards = (self._merge_shard(batch, claim, status) for claim in await self._store.list_shards(batch))
        async for shard in prefetch(shards, ahead=SHARDS_AHEAD):
            succeeded += shard.succeeded
            errored += shard.errored
            unfinished += shard.unfinished
            added += shard.added
            first_added += shard.first_added[: FIRST_REQUESTS - len(first_added)]
            output_size += len(shard.output)
            await _write_and_hash(shard, writer, hashes)
            hit_failpoint("finalizing_started")
            size += len(shard.lines)
        counts = Counts(total=batch.counts.total, succeeded=succeeded, errored=errored)
        counts = msgspec.structs.replace(counts, **{status: unfinished})
        return _WrittenResults(counts, size, output_size, hashes, unfinished_group(status, added, first_added))

    async def _merge_shard(self, batch: Batch, claim: Claim, status: Literal["canceled", "expired"]) -> _MergedShard:
        chunks = await self._store.read_chunks(batch.key, claim.shard.index)
        merged, successful = await asyncio.to_thread(self._merge, batch, chunks, status)
        added = claim.shard.requests - len(merged)
        first_added = await self._add_unfinished(claim, merged, status) if added else ()
        lines, output, error = _joined(merged, successful)
        succeeded, errored = sum(chunk.succeeded for chunk in chunks), sum(chunk.errored for chunk in chunks)
        return _MergedShard(
            lines=lines,
            output=output,
            error=error,
            succeeded=succeeded,
            errored=errored,
            unfinished=claim.shard.requests - succeeded - errored,
            added=added,
            first_added=first_added,
        )

    def _merge(
        self, batch: Batch, chunks: Sequence[ResultChunk], status: Literal["canceled", "expired"]
    ) -> tuple[dict[int, bytes], set[int]]:
        """Return the lines of a shard by their seqs, and the seqs of the successful ones.

        A worker may have written requests as expired that were canceled before: these get no line here.
        """
        merged, rows = merge_chunks(chunks), self._rows[batch.dialect]
        if status == "canceled" and any(len(chunk.seqs) > chunk.succeeded + chunk.errored for chunk in chunks):
            merged = {seq: line for seq, line in merged.items() if not rows.is_expired(line)}
        successful = {
            seq
            for chunk in chunks
            for seq in chunk.seqs
            if chunk.succeeded == len(chunk.seqs) or (seq in merged and rows.is_success(merged[seq]))
        }
        return merged, successful

    async def _add_unfinished(
        self, claim: Claim, merged: dict[int, bytes], status: Literal["canceled", "expired"]
    ) -> Sequence[FailedRequest]:
        """Add lines for the requests of a shard that have none, and return the first of these requests."""
        rows, first = self._rows[claim.batch.dialect], list[FailedRequest]()
        for seq, line in await self._input_lines(claim, claim.shard.requests - len(merged)):
            if seq not in merged:
                custom_id = rows.custom_id(line)
                merged[seq] = rows.unfinished_line(custom_id, status)
                if len(first) < FIRST_REQUESTS:
                    first.append(failed_request(seq, custom_id))
        return first

    async def _input_lines(self, claim: Claim, missing: int) -> list[tuple[int, bytes]]:
        """Read the input lines of a shard; none if they are still unreadable after `INPUT_RETRY_PERIOD`."""
        try:
            return await read_input_lines(self._blobs, claim)
        except BlobError as error:
            if not self._clock.has_passed(claim.batch.stopped_at + INPUT_RETRY_PERIOD):
                raise
            fields = {"action": "request_lines_missing", "batch": claim.batch.id, "shard": claim.shard.index}
            logger.error("%d requests get no result line: %s", missing, error, extra=fields)  # noqa: TRY400
            return []


async def _write_and_hash(shard: _MergedShard, writer: BlobWriter, hashes: ResultHashes) -> None:
    if len(shard.lines) < THREAD_THRESHOLD:
        hashes.update(shard.lines, shard.output, shard.error)
        await writer.write(shard.lines)
    else:
        hashing = asyncio.to_thread(hashes.update, shard.lines, shard.output, shard.error)
        await asyncio.gather(writer.write(shard.lines), hashing)


def _joined(merged: Mapping[int, bytes], successful: Collection[int]) -> tuple[bytes, bytes, bytes]:
    """Return all lines in the order of their seqs, the successful ones, and the others."""
    seqs = sorted(merged)
    lines = b"".join([merged[seq] for seq in seqs])
    if len(successful) == len(merged):
        return lines, lines, b""
    output, error = ([merged[seq] for seq in seqs if (seq in successful) is wanted] for wanted in (True, False))
    return lines, b"".join(output), b"".join(error)


def new_results_blob(batch: Batch) -> str:
    """Return a new name for the results of a batch.

    If a process was wrongly considered dead, two processes may finalize the same batch. They must not write to the same
    blob, since one may start after the other has deleted chunks. The store decides which blob the batch gets.
    """
    return f"batches/{batch.id}/{new_id('results')}.jsonl"
