"""Reads the requests of a job from its batch's input, encodes them for the provider, and finds their custom ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from batchgate.engine.dispatch.executor import Executor, request_row
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.native_job import NativeJob, PlannedRow, row_id, unpack_set
from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.engine.storage.input_lines import read_input_lines

BYTES_AT_ONCE: Final = 512 * 1024
"""Bytes of lines that are encoded without a pause for the event loop."""


class JobRows:
    """The rows of one job. At most one shard of the input is in memory."""

    def __init__(self, batch: Batch, job: NativeJob, claims: Sequence[Claim], blobs: Blobs) -> None:
        self._batch = batch
        self._job = job
        self._blobs = blobs
        self._seqs = frozenset(unpack_set(job.seqs))
        self._claims = [claim for claim in claims if not self._seqs.isdisjoint(claim.shard.seqs)]
        self.unfit: set[int] = set()
        """The requests that could not be encoded; they are not sent."""

    @property
    def has_none(self) -> bool:
        """Whether no request could be encoded."""
        return self.unfit >= self._seqs

    def dropped(self) -> set[int]:
        """Return the unfit requests that the job need not keep.

        It keeps those of a shard of which it has no others: its end must still release that shard.
        """
        dropped: set[int] = set()
        for claim in self._claims:
            members = self._seqs.intersection(claim.shard.seqs)
            if not members <= self.unfit:
                dropped |= members & self.unfit
        return dropped

    async def encoded(
        self, executor: Executor, batches: ProviderBatches, account: Account
    ) -> AsyncIterator[PlannedRow]:
        """Yield the rows that can be encoded, in order."""
        encoded_bytes = 0
        async for seq, line in self._lines():
            request = executor.prepare(self._batch, seq, line)
            if isinstance(request, ResultLine):
                self.unfit.add(seq)
                continue
            try:
                row = batches.encode(account, request_row(self._batch, request), row_id(self._job.token, seq))
            except RequestError:  # the direct lane gives it the result that it deserves
                self.unfit.add(seq)
                continue
            yield row
            encoded_bytes += len(row.line)
            if encoded_bytes >= BYTES_AT_ONCE:
                encoded_bytes = 0
                await asyncio.sleep(0)

    async def custom_ids(self, executor: Executor) -> dict[int, str]:
        """Return the caller's ids of all requests of the job, by seq."""
        return {seq: executor.results.custom_id(self._batch, line) async for seq, line in self._lines()}

    async def _lines(self) -> AsyncIterator[tuple[int, bytes]]:
        for claim in self._claims:
            for seq, line in await read_input_lines(self._blobs, claim):
                if seq in self._seqs:
                    yield seq, line
