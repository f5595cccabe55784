"""Collects the results of a job: streams them from the provider, and stores them in chunks of their shards."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.result_builder import ResultBuilder
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import RequestError, UpstreamError
from batchgate.engine.model.native_job import NativeJob, seq_of, unpack_set
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.model.shard import ResultLine, chunk_of
from batchgate.engine.ports.provider_batches import NativeResult, UpstreamJob
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.failpoints import hit_failpoint

logger = logging.getLogger(__name__)

BUFFERED_BYTES: Final = 4 * 1024 * 1024
"""Bytes of result lines in memory from which on they are stored."""
ROWS_AT_ONCE: Final = 32
"""Results that are read without a pause for the event loop."""


class Collected(Struct):
    """What a job delivered."""

    answered: int = 0
    """Requests with a result, those of an earlier attempt to collect included."""
    unfinished: dict[int, Literal["expired", "canceled"]] = {}
    """Requests that did not run, and why."""
    missing: set[int] = set()
    """Requests without a result, for whatever reason."""
    not_found: UpstreamError | None = None
    """The answer 404 to a download of results, after which the other files were read."""

    @property
    def is_ours(self) -> bool:
        """Whether a row had an id with the token of the job, so that the job upstream is not somebody else's."""
        return self.answered > 0 or bool(self.unfinished)


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
        telemetry: Telemetry,
        keeps_errors: bool,
    ) -> None:
        self._batch = batch
        self._job = job
        self._endpoint = endpoint
        self._store = store
        self._results = results
        self._telemetry = telemetry
        self._keeps_errors = keeps_errors
        """Whether an error that another call may not have is a result too."""
        self._claims = claims
        self._first_seqs = [claim.shard.first_seq for claim in claims]
        self._buffers: dict[int, list[ResultLine]] = {}
        self._buffered = 0
        self._custom_ids: dict[int, str] = {}
        self._found = Collected()

    async def collect(self, upstream: UpstreamJob, custom_ids: dict[int, str]) -> Collected:
        """Store what the provider has for the job's requests; raises `UpstreamError`, `StoreError` or `StaleClaim`."""
        finished = await self._store.finished_of(self._job)
        seqs = frozenset(unpack_set(self._job.seqs))
        self._custom_ids = custom_ids
        self._found.missing = set(seqs - finished)
        self._found.answered = len(seqs & finished)
        batches, rows = self._endpoint.batches, 0
        assert batches is not None
        try:
            async for result in batches.results(self._endpoint.account, self._job, upstream):
                self._read(result)
                rows += 1
                if self._buffered >= BUFFERED_BYTES:
                    await self._flush()
                    hit_failpoint("native_collecting")
                elif rows % ROWS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        except UpstreamError as error:
            if error.status != 404:
                raise
            self._found.not_found = error
        finally:
            await self._flush()
        return self._found

    async def end_unanswered(self, *, has_expired: bool, error: RequestError) -> None:
        """Store results for the requests that the job left without one: they expired with it, or get the error."""
        expired = self._found.missing if has_expired else _expired(self._found.unfinished)
        for number, seq in enumerate(sorted(self._found.missing), start=1):
            custom_id = self._custom_ids[seq]
            if seq in expired:
                self._add(self._results.expired_without_reason(self._batch, seq, custom_id))
            else:
                self._add(self._results.errored(self._batch, seq, custom_id, error))
            if self._buffered >= BUFFERED_BYTES:
                await self._flush()
            elif number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._flush()

    def _read(self, result: NativeResult) -> None:
        """Read a row, unless its id is none of the job's or its request has a result already."""
        seq = seq_of(self._job.token, result.row_id)
        if seq is None or seq not in self._found.missing:
            return
        if result.response is None:
            self._found.unfinished[seq] = result.unfinished or "canceled"
        else:
            line = self._result(seq, result.response)
            if line is not None:
                self._found.missing.discard(seq)
                self._found.answered += 1
                self._add(line)

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
        except UpstreamError as error:
            if error.retry_safe and not self._keeps_errors:
                return None
            return self._results.errored(self._batch, seq, custom_id, error)
        assert endpoint.batches is not None
        return self._results.succeeded(
            self._batch,
            seq,
            custom_id,
            answer,
            account=endpoint.account,
            model=self._job.model,
            factor=endpoint.batches.limits.discount,
        )

    def _add(self, result: ResultLine) -> None:
        self._found.unfinished.pop(result.seq, None)
        shard = bisect_right(self._first_seqs, result.seq) - 1
        self._buffers.setdefault(shard, []).append(result)
        self._buffered += len(result.line)

    async def _flush(self) -> None:
        buffers, self._buffers, self._buffered = self._buffers, {}, 0
        for shard, results in buffers.items():
            chunk, started = chunk_of(results), time.perf_counter()
            await self._store.append_native_results(self._job, shard, chunk)
            self._telemetry.results_flushed(self._claims[shard], chunk, seconds=time.perf_counter() - started)


def _expired(unfinished: Mapping[int, Literal["expired", "canceled"]]) -> frozenset[int]:
    return frozenset(seq for seq, state in unfinished.items() if state == "expired")
