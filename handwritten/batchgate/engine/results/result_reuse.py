"""Reuses results: requests of a new batch take over the results of equal requests that succeeded in another batch.

It happens before the new batch is planned, while its shards are held. Results are stored as chunks, like those of
calls, so what was stored before a crash is not stored again. Of the other batch an index of its answers is in memory;
the answers themselves are read from its result file, a few megabytes at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Container, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import BlobError, DamagedBlob, RefusedError
from batchgate.engine.model.shard import ResultChunk, ResultLine
from batchgate.engine.model.steering import Pause
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.ports.steering_store import SteeringStore
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.results.answer_index import AnswerIndex, AnswerPlace
from batchgate.engine.results.request_hashes import RequestHashes
from batchgate.engine.results.reusable_batch import check_reusable
from batchgate.engine.results.row_outcomes import EndedRow, RowOutcomes
from batchgate.engine.storage.input_lines import read_shards
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.prefetch import prefetch

logger = logging.getLogger(__name__)

WINDOW: Final = 2 * 1024 * 1024
"""Bytes of the result file that are read together, and of the results that are stored together; one may be larger."""
GAP: Final = 64 * 1024
"""Bytes between two wanted answers that are read as well, since another read would take longer."""
WINDOWS_AHEAD: Final = 2


class _Reused(Struct, frozen=True):
    """A request, and the answer that it takes over."""

    seq: int
    custom_id: str
    place: AnswerPlace


class _Stopped(Exception):
    """The batch that takes over results was canceled, or has expired."""


class ResultReuse:
    """Stores the results that requests of new batches take over."""

    def __init__(
        self,
        *,
        store: Store,
        steering: SteeringStore,
        blobs: Blobs,
        rows: Mapping[Dialect, RowFormat],
        outcomes: RowOutcomes,
        hashes: RequestHashes,
        clock: ExpiryClock,
        telemetry: Telemetry,
        paused: Callable[[], None],
    ) -> None:
        self._store = store
        self._steering = steering
        self._blobs = blobs
        self._rows = rows
        self._outcomes = outcomes
        self._hashes = hashes
        self._clock = clock
        self._telemetry = telemetry
        self._paused = paused

    async def apply(self, batch: Batch, claims: Sequence[Claim]) -> frozenset[int]:
        """Store what requests of a batch without a plan take over, and return the seqs of all that have results.

        If the results of the other batch cannot be read any more, the batch is paused, since its caller did not expect
        to pay for all of its requests. If it is canceled or expires meanwhile, the others get no results. Raises
        `StaleClaim` if it has a plan by now.
        """
        if batch.options.reused_batch is None:
            return frozenset()
        finished = await self._stored(claims)
        try:
            source = await self._source(batch)
            answers = await self._index(batch, source)
            async with aclosing(read_shards(self._blobs, claims)) as shards:
                for claim in claims:
                    await self._apply_to_shard(claim, await anext(shards), source, answers, finished)
        except RefusedError as error:
            await self._pause(batch, error.message)
            finished = await self._stored(claims)  # a process that took over the lease may have stored more
        except _Stopped:
            fields = {"action": "reuse_stopped", "batch": batch.id}
            logger.info("%s takes over no more results: it was canceled, or has expired", batch.id, extra=fields)
        return frozenset(finished)

    async def _check_open(self, batch: Batch) -> None:
        """Raise `_Stopped` if a batch was canceled or has expired."""
        found = await self._store.find_batch_by_key(batch.key)
        if found is None or found.status != "in_progress" or self._clock.has_passed(found.expires_at):
            raise _Stopped

    async def _stored(self, claims: Sequence[Claim]) -> set[int]:
        """Read which requests have results, since an earlier attempt ended before the batch had a plan."""
        chunks = [await self._store.list_chunks(claim.batch.key, claim.shard.index) for claim in claims]
        return {seq for entries in chunks for entry in entries for seq in entry.seqs}

    async def _source(self, batch: Batch) -> Batch:
        """Return the batch whose results are reused; raises `RefusedError` if they are gone."""
        name = batch.options.reused_batch or ""
        found = await self._store.find_batch(batch.workspace, name)
        if found is None:
            raise _deleted(batch.workspace, name, f"reuse: batch {name!r} was deleted")
        check_reusable(found, batch.dialect, batch.options)
        return found

    async def _index(self, batch: Batch, source: Batch) -> AnswerIndex:
        """Read which requests of the other batch succeeded, and where their answers are."""
        answers = AnswerIndex(source.counts.total)
        async with self._reading(source), aclosing(self._outcomes.read(source)) as groups:
            async for group in groups:
                await self._check_open(batch)
                await asyncio.to_thread(self._add, source, group, answers)
        return answers

    def _add(self, source: Batch, rows: Sequence[EndedRow], answers: AnswerIndex) -> None:
        for row in rows:
            if row.failure is None and (request_hash := self._hashes.of(source, row.line)) is not None:
                answers.add(request_hash, AnswerPlace(row.offset, row.size))

    async def _apply_to_shard(
        self,
        claim: Claim,
        lines: Sequence[tuple[int, bytes]],
        source: Batch,
        answers: AnswerIndex,
        finished: set[int],
    ) -> None:
        reused = await asyncio.to_thread(self._matches, claim.batch, lines, answers, finished)
        results, size = list[ResultLine](), 0
        async with self._reading(source), aclosing(self._answers(source, reused)) as groups:
            async for group in groups:
                await self._check_open(claim.batch)
                for result in group:
                    if size + len(result.line) > WINDOW:
                        await self._append(claim, results, finished)
                        results, size = [], 0
                    results.append(result)
                    size += len(result.line)
        await self._append(claim, results, finished)

    def _matches(
        self, batch: Batch, lines: Sequence[tuple[int, bytes]], answers: AnswerIndex, finished: Container[int]
    ) -> list[_Reused]:
        """Return the unfinished requests that equal one with an answer, in the order of these answers.

        The finished ones take their answers as well: an earlier attempt has stored these.
        """
        custom_id, found = self._rows[batch.dialect].custom_id, list[_Reused]()
        for seq, line in lines:
            request_hash = self._hashes.of(batch, line)
            place = None if request_hash is None else answers.take(request_hash)
            if place is not None and seq not in finished:
                found.append(_Reused(seq, custom_id(line), place))
        return sorted(found, key=lambda reused: (reused.place.offset, reused.seq))

    async def _answers(self, source: Batch, reused: Sequence[_Reused]) -> AsyncGenerator[list[ResultLine], None]:
        """Yield the results of requests, some at a time; some more are read meanwhile."""
        windows = _windows(reused)
        async with aclosing(prefetch((self._read(source, rows) for rows in windows), ahead=WINDOWS_AHEAD)) as read:
            async for results in read:
                yield results

    async def _read(self, source: Batch, reused: Sequence[_Reused]) -> list[ResultLine]:
        """Read the answers of requests that are near to each other in the result file."""
        name, start = source.results_blob or "", reused[0].place.offset
        data = await self._blobs.read_range(name, start, _end(reused[-1].place) - start)
        return await asyncio.to_thread(self._results, source, reused, data)

    def _results(self, source: Batch, reused: Sequence[_Reused], data: bytes) -> list[ResultLine]:
        rows, start, results = self._rows[source.dialect], reused[0].place.offset, list[ResultLine]()
        try:
            for each in reused:
                answer = rows.answer(data[each.place.offset - start : _end(each.place) - start])
                line = rows.succeeded_line(each.custom_id, answer)
                results.append(ResultLine(seq=each.seq, status="succeeded", line=line))
        except DECODING_ERRORS as error:
            raise DamagedBlob(f"{source.results_blob}: damaged: a line cannot be decoded") from error
        return results

    async def _append(self, claim: Claim, results: Sequence[ResultLine], finished: set[int]) -> None:
        """Store results; nothing if there are none."""
        if not results:
            return
        chunk = _chunk_of(results, at=self._clock.now())
        await self._store.append_reused(claim, chunk)
        finished.update(chunk.seqs)
        hit_failpoint("results_reused")
        self._telemetry.results_reused(claim, chunk)

    @asynccontextmanager
    async def _reading(self, source: Batch) -> AsyncGenerator[None, None]:
        """Raise a `RefusedError` in place of an error that will stay: the files are damaged, or deleted meanwhile."""
        try:
            yield
        except BlobError as error:
            current = await self._store.find_batch(source.workspace, source.id)
            if current is None or current.results_blob is None:
                message = f"reuse: the results of batch {source.id!r} were deleted while they were read"
                raise _deleted(source.workspace, source.id, message) from error
            if isinstance(error, DamagedBlob):
                raise _damaged(source, error) from error
            raise

    async def _pause(self, batch: Batch, reason: str) -> None:
        """Pause a batch that cannot take over results, with the reason; its caller resumes or cancels it."""
        pause = Pause(code="reuse_failed", reason=f"{reason}. Resumed, it sends all requests that have no result")
        await self._steering.steer_batch(batch.workspace, batch.id, pause, by="", now=self._clock.now())
        self._paused()


def _chunk_of(results: Sequence[ResultLine], *, at: int) -> ResultChunk:
    """Return results as a chunk that used and cost nothing, since their answers were counted once."""
    return ResultChunk(
        seqs=tuple([result.seq for result in results]),
        lines=b"".join([result.line for result in results]),
        succeeded=len(results),
        errored=0,
        reused=len(results),
        at=at,
    )


def _deleted(workspace: str, source: str, message: str) -> RefusedError:
    """Log that the results of a batch were deleted, and return what their reuse is refused with."""
    fields = {"action": "reuse_deleted", "batch": source, "workspace": workspace}
    logger.warning("the results of %s were deleted before a batch could reuse them", source, extra=fields)
    return RefusedError("not_found_error", message)


def _damaged(source: Batch, error: DamagedBlob) -> RefusedError:
    """Log that the files of a batch are damaged, and return what its reuse is refused with."""
    fields = {"action": "reuse_unreadable", "batch": source.id, "workspace": source.workspace}
    logger.error("the files of %s cannot be read to reuse its results: %s", source.id, error, extra=fields)
    return RefusedError("api_error", f"reuse: the stored files of batch {source.id!r} are damaged")


def _windows(reused: Sequence[_Reused]) -> list[list[_Reused]]:
    """Group requests whose answers are near to each other in the result file, and are read together."""
    windows = list[list[_Reused]]()
    for each in reused:
        window = windows[-1] if windows else None
        if window is not None and _is_near(window, each.place):
            window.append(each)
        else:
            windows.append([each])
    return windows


def _is_near(window: Sequence[_Reused], place: AnswerPlace) -> bool:
    first, last = window[0].place, window[-1].place
    return place.offset - _end(last) <= GAP and _end(place) - first.offset <= WINDOW


def _end(place: AnswerPlace) -> int:
    return place.offset + place.size
