"""Collects the results of a job: streams them from the provider, and stores them in chunks of their shards."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.result_builder import ResultBuilder
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.native_job import NativeJob, seq_of
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.model.shard import ResultLine, chunk_of
from batchgate.engine.ports.provider_batches import NativeResult, UpstreamJob
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.prefetch import prefetch_next

logger = logging.getLogger(__name__)

BUFFERED_BYTES: Final = 2 * 1024 * 1024
"""Bytes of result lines in memory from which on they are stored, while more are read."""
SECONDS_AT_ONCE: Final = 0.005
"""How long groups of results are read without a pause for the event loop."""
ROWS_AT_ONCE: Final = 64
"""Results that are made for unanswered requests without a pause for the event loop."""

ResultsByShard: TypeAlias = Mapping[int, Sequence[ResultLine]]
"""Results by the index of their shard."""


class Collected(Struct):
    """What a job delivered."""

    answered: int = 0
    """Requests with a result, those of an earlier attempt to collect included."""
    unfinished: dict[int, Literal["expired", "canceled"]] = {}
    """Requests that did not run, and why."""
    missing: set[int] = set()
    """Requests without a result, for whatever reason."""
    unreadable: UpstreamError | None = None
    """Why a file of results cannot be read: it is gone, and the others were read, or it is not usable."""


class Collector:
    """Collects one job. Each request gets at most one result, however often its row comes."""

    def __init__(
        self,
        batch: Batch,
        job: NativeJob,
        claims: Sequence[Claim],
        *,
        endpoint: AccountEndpoint,
        store: Store,
        results: ResultBuilder,
        clock: Clock,
        telemetry: Telemetry,
        keeps_errors: bool,
    ) -> None:
        self._batch = batch
        self._job = job
        self._endpoint = endpoint
        self._store = store
        self._results = results
        self._clock = clock
        self._telemetry = telemetry
        self._called = CalledModel(job.account, job.model)
        self._keeps_errors = keeps_errors
        """Whether an error that another call may not have is a result too."""
        self._claims = claims
        self._first_seqs = [claim.shard.first_seq for claim in claims]
        self._buffer: list[ResultLine] = []
        self._buffered = 0
        self._custom_ids: dict[int, str] = {}
        self._found = Collected()
        self._prices = endpoint.prices.find(job.model)

    async def collect(self, upstream: UpstreamJob, custom_ids: dict[int, str]) -> Collected:
        """Store what the provider has for the job's requests, whose ids are given by seq.

        Raises `UpstreamError`, `StoreError` or `StaleClaim`.
        """
        self._custom_ids = custom_ids
        self._found.missing = set(custom_ids)
        self._found.missing -= await self._store.finished_of(self._job)
        async with aclosing(self._read_all(upstream)) as read, aclosing(prefetch_next(read)) as filled:
            async for results in filled:
                await self._store_chunks(results)
                hit_failpoint("native_collecting")
        self._found.answered = len(custom_ids) - len(self._found.missing)
        return self._found

    async def _read_all(self, upstream: UpstreamJob) -> AsyncGenerator[ResultsByShard, None]:
        """Yield the results that are to be stored, also those before an error; what will stay is only recorded."""
        batches = self._endpoint.batches
        assert batches is not None
        paused_at = time.perf_counter()
        try:
            async for group in batches.results(self._endpoint.account, self._job, upstream):
                self._read(group)
                if self._buffered >= BUFFERED_BYTES:
                    yield self._take_buffer()
                elif time.perf_counter() - paused_at > SECONDS_AT_ONCE:
                    await asyncio.sleep(0)
                    paused_at = time.perf_counter()
        except UpstreamError as error:
            yield self._take_buffer()
            if not _will_stay(error):
                raise
            self._found.unreadable = error
        yield self._take_buffer()

    async def end_unanswered(self, *, has_expired: bool, error: RequestError) -> None:
        """Store results for the requests that the job left without one: they expired with it, or get the error."""
        expired = self._found.missing if has_expired else _expired(self._found.unfinished)
        for number, seq in enumerate(sorted(self._found.missing), start=1):
            custom_id = self._custom_ids[seq]
            if seq in expired:
                self._add([self._results.expired_without_reason(self._batch, seq, custom_id)])
            else:
                self._add([self._results.errored(self._batch, seq, custom_id, error, called=self._called)])
            if self._buffered >= BUFFERED_BYTES:
                await self._store_chunks(self._take_buffer())
            elif number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._store_chunks(self._take_buffer())

    def _read(self, group: Sequence[NativeResult]) -> None:
        """Read the rows of a group, unless their id is none of the job's or their request has a result already."""
        token, missing, unfinished = self._job.token, self._found.missing, self._found.unfinished
        results: list[ResultLine] = []
        for row in group:
            seq = seq_of(token, row.row_id)
            if seq is None or seq not in missing:
                continue
            if row.response is None:
                unfinished[seq] = row.unfinished or "canceled"
                continue
            result = self._result(seq, row.response)
            if result is not None:
                missing.discard(seq)
                unfinished.pop(seq, None)
                results.append(result)
        self._add(results)

    def _result(self, seq: int, response: UpstreamResponse) -> ResultLine | None:
        """Return the result of a row; None for an error that another call may not have."""
        custom_id, endpoint = self._custom_ids[seq], self._endpoint
        row = RequestRow(
            custom_id=custom_id,
            params=b"{}",
            model=self._job.model,
            headers=self._batch.headers,
            kind=self._batch.options.kind,
        )
        try:
            answer = endpoint.handler.decode(row, response)
            return self._results.succeeded(
                self._batch,
                seq,
                custom_id,
                answer,
                called=self._called,
                prices=self._prices,
                native=True,
                stated_cost=endpoint.meter.stated_cost(response, native=True),
            )
        except Exception as error:  # noqa: BLE001 - after any error the request must have a result
            if isinstance(error, UpstreamError) and error.retry_safe and not self._keeps_errors:
                return None
            return self._results.errored(self._batch, seq, custom_id, error, called=self._called)

    def _add(self, results: Sequence[ResultLine]) -> None:
        self._buffer += results
        self._buffered += sum([len(result.line) for result in results])

    def _take_buffer(self) -> ResultsByShard:
        self._prices = self._endpoint.prices.find(self._job.model)  # once a chunk, since they seldom change
        by_shard = defaultdict[int, list[ResultLine]](list)
        for result in self._buffer:
            by_shard[bisect_right(self._first_seqs, result.seq) - 1].append(result)
        self._buffer, self._buffered = [], 0
        return by_shard

    async def _store_chunks(self, by_shard: ResultsByShard) -> None:
        """Store a chunk for each shard, all in one transaction."""
        now = self._clock.now()
        chunks = {shard: chunk_of(results, at=now, lane="native") for shard, results in by_shard.items()}
        if not chunks:
            return
        started = time.perf_counter()
        await self._store.append_native_results(self._job, chunks)
        seconds = time.perf_counter() - started
        for shard, chunk in chunks.items():
            self._telemetry.results_flushed(self._claims[shard], chunk, seconds=seconds, native=True)


def _will_stay(error: UpstreamError) -> bool:
    """Check if another download would most likely end with the same error; a rejected key may be replaced."""
    return error.status == 404 or (isinstance(error, NoUpstreamAnswer) and not error.retry_safe)


def _expired(unfinished: Mapping[int, Literal["expired", "canceled"]]) -> frozenset[int]:
    return frozenset(seq for seq, state in unfinished.items() if state == "expired")
