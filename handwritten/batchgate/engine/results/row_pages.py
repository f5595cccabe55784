"""Reads pages of requests beside their results: from the chunks of a running batch, or the file of one that has ended.

A page begins where its cursor says, in the input and in the results, so it costs the same wherever it is in the batch,
and no process has to remember anything. What a page may read is bounded, so one that finds little ends early.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from io import BytesIO
from typing import Final, Literal
from weakref import WeakValueDictionary

from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import DamagedBlob, RefusedError
from batchgate.engine.model.failure import FailureKind
from batchgate.engine.model.stored_blob import stored_results
from batchgate.engine.ports.blobs import Blobs, ByteStream
from batchgate.engine.ports.rows import RowFormat, RowOutcome
from batchgate.engine.ports.store import Store
from batchgate.engine.results.content_renderer import complete_lines
from batchgate.engine.results.row_filter import RowFilter, RowState
from batchgate.engine.results.row_position import RowPosition, wrong_cursor
from batchgate.engine.results.shard_lines import ChunksDropped, ShardLines

MAX_READ: Final = 16 * 1024 * 1024
"""Bytes of requests and results after which a page ends, with what it has."""
MAX_PAGE: Final = 4 * 1024 * 1024
"""Bytes of its requests and results after which a page ends."""
BLOCK: Final = 500
"""Requests that are looked at together, at most."""
BLOCK_SIZE: Final = 1024 * 1024
"""Bytes of results after which a block ends; its requests are of one piece of their blob."""
AT_ONCE: Final = 4
"""Pages that a process reads at the same time; others wait."""
AT_ONCE_OF_ONE: Final = AT_ONCE - 1
"""Pages of one workspace among them, so slow ones make no other workspace wait."""


class _Misplaced(Exception):
    """A position is not one where a request begins."""


class FoundRow(Struct, frozen=True, kw_only=True):
    """A request of a batch, and how it ended."""

    seq: int
    custom_id: str
    state: RowState
    failure: FailureKind | None
    request: bytes
    """Its line."""
    result: bytes | None
    """The line of its result; None if there is none."""
    after: RowPosition
    """Where the next request begins."""

    @property
    def size(self) -> int:
        """The bytes of its lines."""
        return len(self.request) + len(self.result or b"")


class RowPage(Struct, frozen=True, kw_only=True):
    """Some requests in the order of the batch."""

    batch: Batch
    rows: Sequence[FoundRow]
    next: RowPosition | None
    """Where the next page begins; None after the last request."""


class _WaitingResults:
    """The results that come next, as far as they were read."""

    def __init__(self) -> None:
        self.lines = list[bytes]()
        self.are_all = False
        """No result comes after these."""

    async def fill(self, results: AsyncGenerator[list[bytes], None], count: int) -> None:
        """Read results until there are so many, or so many bytes of them."""
        while not self.are_all and len(self.lines) < count and sum(map(len, self.lines)) < BLOCK_SIZE:
            more = await anext(results, None)
            self.lines.extend(more or ())
            self.are_all = more is None


class RowPages:
    """Reads pages of requests of running and ended batches."""

    def __init__(self, store: Store, blobs: Blobs, rows: Mapping[Dialect, RowFormat]) -> None:
        self._store = store
        self._blobs = blobs
        self._rows = rows
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._turns = WeakValueDictionary[str, asyncio.Semaphore]()
        """Those of each workspace that has pages read or waiting."""

    async def page(self, batch: Batch, cursor: str | None, row_filter: RowFilter, limit: int) -> RowPage:
        """Return a page; raises `RefusedError` for a wrong cursor, and for a batch whose requests are gone."""
        position = RowPosition() if cursor is None else RowPosition.of_cursor(cursor)
        while True:
            try:
                async with self._turn_of(batch.workspace), self._turn:
                    return await self._page(batch, position, row_filter, limit)
            except ChunksDropped:
                batch = await self._ended(batch)
            except _Misplaced as error:
                if cursor is None:
                    raise DamagedBlob(f"{batch.input_blob}: damaged: {error}") from error
                raise wrong_cursor(cursor) from error  # the caller has changed it

    def _turn_of(self, workspace: str) -> asyncio.Semaphore:
        return self._turns.setdefault(workspace, asyncio.Semaphore(AT_ONCE_OF_ONE))

    async def _ended(self, batch: Batch) -> Batch:
        """Return a batch that has ended since it was read."""
        found = await self._store.find_batch_by_key(batch.key)
        if found is None or found.ended_at is None:
            raise RefusedError("not_found_error", f"There is no batch {batch.id!r} in this workspace.", param="id")
        return found

    async def _page(self, batch: Batch, position: RowPosition, row_filter: RowFilter, limit: int) -> RowPage:
        """Return a page; raises `ChunksDropped` if the batch ended meanwhile."""
        if batch.archived_at is not None:
            message = f"The requests of batch {batch.id!r} are gone: its files were deleted or have expired."
            raise RefusedError("not_found_error", message)
        if batch.input_blob is None or position.input_offset >= batch.input_size:
            return RowPage(batch=batch, rows=(), next=None)
        found, read, size = list[FoundRow](), 0, 0
        async with aclosing(self._blocks(batch, position)) as blocks:
            async for block in blocks:
                for row in await asyncio.to_thread(_matching, block, row_filter, position.first):
                    found.append(row)
                    size += row.size
                    if len(found) == limit or size > MAX_PAGE:
                        return self._found(batch, found, row.after)
                read += sum(row.size for row in block)
                position = _later(position, block[-1].after)
                if read > MAX_READ:
                    return self._found(batch, found, position)
        if batch.ended_at is None:
            current = await self._store.find_batch_by_key(batch.key)
            if current is None or current.ended_at is not None:
                raise ChunksDropped
        return RowPage(batch=batch, rows=found, next=None)

    @staticmethod
    def _found(batch: Batch, found: Sequence[FoundRow], after: RowPosition) -> RowPage:
        return RowPage(batch=batch, rows=found, next=after if after.input_offset < batch.input_size else None)

    def _blocks(self, batch: Batch, position: RowPosition) -> AsyncGenerator[list[FoundRow], None]:
        """Return the requests from a position on, some at a time."""
        if batch.ended_at is None:
            return self._running_blocks(batch, position)
        if position.results_offset is None:
            position = position.from_the_beginning()
        return self._ended_blocks(batch, position)

    async def _running_blocks(self, batch: Batch, position: RowPosition) -> AsyncGenerator[list[FoundRow], None]:
        """Yield requests of a running batch, each block of one shard; raises `ChunksDropped`."""
        seq, offset = position.seq, position.input_offset
        while (shard := await self._store.find_shard(batch.key, seq)) is not None:
            results = await ShardLines(self._store, batch.key, shard.index).index()
            end = shard.offset + shard.length
            if not shard.offset <= offset < end:
                raise _Misplaced(f"shard {shard.index} does not begin at byte {offset}")
            async with aclosing(self._input(batch, offset, end)) as groups:
                async for lines in groups:
                    left = lines
                    while left:
                        seqs = results.fitting(range(seq, seq + len(left)), BLOCK_SIZE)
                        found = await results.read(seqs)
                        block = await asyncio.to_thread(
                            self._running_block, batch, seq, offset, left[: len(seqs)], found
                        )
                        seq, offset, left = seqs.stop, block[-1].after.input_offset, left[len(seqs) :]
                        yield block
            if seq != shard.first_seq + shard.requests:
                raise _Misplaced(f"shard {shard.index} has another number of lines")
        if seq < batch.counts.total:  # its shards are gone
            raise ChunksDropped

    def _running_block(
        self, batch: Batch, seq: int, offset: int, lines: Sequence[bytes], results: Mapping[int, bytes]
    ) -> list[FoundRow]:
        rows, found = self._rows[batch.dialect], list[FoundRow]()
        for number, line in enumerate(lines, seq):
            offset += len(line)
            after = RowPosition(seq=number + 1, input_offset=offset, results_offset=None)
            custom_id = _custom_id(rows, batch, line)
            result = results.get(number)
            outcome = None if result is None else rows.outcome(result)
            found.append(_row(number, custom_id, line, result, outcome, "pending", after))
        return found

    async def _ended_blocks(self, batch: Batch, position: RowPosition) -> AsyncGenerator[list[FoundRow], None]:
        """Yield requests of a batch that has ended."""
        seq, offset, results_offset = position.seq, position.input_offset, position.results_offset or 0
        waiting = _WaitingResults()
        results = self._results(batch, results_offset)
        async with aclosing(results), aclosing(self._input(batch, offset, batch.input_size)) as groups:
            async for lines in groups:
                left = lines
                while left:
                    await waiting.fill(results, len(left))
                    place = RowPosition(seq=seq, input_offset=offset, results_offset=results_offset)
                    block = await asyncio.to_thread(self._ended_block, batch, place, left, waiting)
                    after = block[-1].after
                    seq, offset, results_offset = after.seq, after.input_offset, after.results_offset or 0
                    left = left[len(block) :]
                    yield block

    def _ended_block(
        self, batch: Batch, place: RowPosition, lines: Sequence[bytes], waiting: _WaitingResults
    ) -> list[FoundRow]:
        """Pair requests with the results that follow, which are in the same order; a request may have none.

        Ends where the next result has to be read.
        """
        rows, found, taken = self._rows[batch.dialect], list[FoundRow](), 0
        offset, results_offset = place.input_offset, place.results_offset or 0
        coming: RowOutcome | None = None  # that of the next result
        for number, line in enumerate(lines, place.seq):
            if taken == len(waiting.lines) and not waiting.are_all:
                break
            custom_id = _custom_id(rows, batch, line)
            if coming is None and taken < len(waiting.lines):
                coming = _outcome(rows, batch, waiting.lines[taken])
            result, outcome = None, None
            if coming is not None and coming.custom_id == custom_id:
                result, outcome, coming = waiting.lines[taken], coming, None
                taken, results_offset = taken + 1, results_offset + len(result)
            offset += len(line)
            after = RowPosition(seq=number + 1, input_offset=offset, results_offset=results_offset)
            found.append(_row(number, custom_id, line, result, outcome, batch.unfinished_status, after))
        del waiting.lines[:taken]
        return found

    def _input(self, batch: Batch, offset: int, end: int) -> AsyncGenerator[list[bytes], None]:
        assert batch.input_blob is not None
        return self._lines(batch.input_blob, offset, end)

    async def _results(self, batch: Batch, offset: int) -> AsyncGenerator[list[bytes], None]:
        if batch.results_blob is None:
            return
        results = stored_results(batch)
        size = batch.results_size or 0
        async with aclosing(self._lines(results.name, offset, size)) as groups:
            async for lines in groups:
                yield lines

    async def _lines(self, name: str, offset: int, end: int) -> AsyncGenerator[list[bytes], None]:
        """Yield lines of a blob, up to `BLOCK` at a time; raises `_Misplaced` if none begins at the offset."""
        if offset >= end:
            return
        begin = max(0, offset - 1)  # with the end of the line before
        pieces: ByteStream = self._blobs.stream(name, begin, end - begin, for_caller=True)
        is_first = offset > 0
        async with aclosing(complete_lines(name, pieces)) as groups:
            async for group in groups:
                if is_first and group[:1] != b"\n":
                    raise _Misplaced(f"no line begins at byte {offset} of {name}")
                lines = BytesIO(group[1:] if is_first else group).readlines()
                is_first = False
                for start in range(0, len(lines), BLOCK):
                    yield lines[start : start + BLOCK]


def _matching(block: Sequence[FoundRow], row_filter: RowFilter, first: int) -> list[FoundRow]:
    unseen = (row for row in block if row.seq >= first and row_filter.accepts_state(row.state))
    return [row for row in unseen if row_filter.accepts_lines(row.request, row.result)]


def _later(position: RowPosition, after: RowPosition) -> RowPosition:
    return RowPosition(
        seq=after.seq, input_offset=after.input_offset, results_offset=after.results_offset, first=position.first
    )


def _row(  # noqa: PLR0917
    seq: int,
    custom_id: str,
    request: bytes,
    result: bytes | None,
    outcome: RowOutcome | None,
    without_result: Literal["pending", "canceled", "expired"],
    after: RowPosition,
) -> FoundRow:
    """Return a request with its result and what that tells, or with the state of those that have none."""
    failure: FailureKind | None
    state: RowState
    if outcome is None:
        state, failure = without_result, None if without_result == "pending" else without_result
    else:
        state, failure = _state(outcome.failure), outcome.failure
    return FoundRow(
        seq=seq, custom_id=custom_id, state=state, failure=failure, request=request, result=result, after=after
    )


def _state(failure: FailureKind | None) -> RowState:
    match failure:
        case None:
            return "succeeded"
        case "canceled" | "expired":
            return failure
        case _:
            return "errored"


def _custom_id(rows: RowFormat, batch: Batch, line: bytes) -> str:
    try:
        return rows.custom_id(line)
    except (*DECODING_ERRORS, ValueError) as error:
        raise DamagedBlob(f"{batch.input_blob}: damaged: a line cannot be decoded") from error


def _outcome(rows: RowFormat, batch: Batch, line: bytes) -> RowOutcome:
    try:
        return rows.outcome(line)
    except DECODING_ERRORS as error:
        raise DamagedBlob(f"{batch.results_blob}: damaged: a line cannot be decoded") from error
