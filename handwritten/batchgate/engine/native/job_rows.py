"""Reads the requests of a job from its batch's input, encodes them for the provider, and finds their custom ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Final

from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.prepared_request import request_row
from batchgate.engine.dispatch.result_builder import log_internal_error
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.native_job import NativeJob, PlannedRow, row_id, unpack_set
from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.engine.storage.input_lines import read_shards

BYTES_AT_ONCE: Final = 512 * 1024
"""Bytes of lines that are encoded without a pause for the event loop."""


class JobRows:
    """The rows of one job. At most two shards of the input are in memory."""

    def __init__(
        self, batch: Batch, job: NativeJob, claims: Sequence[Claim], blobs: Blobs, refused: Collection[int] = ()
    ) -> None:
        self._batch = batch
        self._job = job
        self._blobs = blobs
        self._seqs = frozenset(unpack_set(job.seqs))
        self._claims = [claim for claim in claims if not self._seqs.isdisjoint(claim.shard.seqs)]
        self._refused = refused
        self.unfit: set[int] = set()
        """The requests that could not be encoded, or that the provider refuses; they are not sent."""

    def dropped(self) -> set[int]:
        """Return the unfit requests that the job need not keep.

        It keeps those of a shard of which it has no others: its end must still release that shard.
        """
        dropped: set[int] = set()
        for claim in self._claims if self.unfit else ():
            members = self._seqs.intersection(claim.shard.seqs)
            if not members <= self.unfit:
                dropped |= members & self.unfit
        return dropped

    async def encoded(
        self, executor: Executor, batches: ProviderBatches, account: Account
    ) -> AsyncIterator[PlannedRow]:
        """Yield the rows that can be encoded and are not refused, in order."""
        encoded_bytes = 0
        async with aclosing(self._shards()) as shards:
            async for lines in shards:
                for seq, line in lines:
                    is_refused = seq in self._refused
                    row = None if is_refused else self._encode(executor, batches, account, seq, line)
                    if row is None:
                        self.unfit.add(seq)
                        continue
                    yield row
                    encoded_bytes += len(row.line)
                    if encoded_bytes >= BYTES_AT_ONCE:
                        encoded_bytes = 0
                        await asyncio.sleep(0)

    def _encode(
        self, executor: Executor, batches: ProviderBatches, account: Account, seq: int, line: bytes
    ) -> PlannedRow | None:
        """Encode a request; None for one that cannot be: the direct lane gives it the result that it deserves."""
        request = executor.prepare(self._batch, seq, line)
        if isinstance(request, ResultLine):
            return None
        try:
            return batches.encode(account, request_row(self._batch, request), row_id(self._job.token, seq))
        except RequestError:
            return None
        except Exception as error:  # noqa: BLE001 - no error of one request may hold its job
            log_internal_error(self._batch, seq, error)
            return None

    async def custom_ids(self, executor: Executor) -> dict[int, str]:
        """Return the caller's ids of all requests of the job, by seq."""
        custom_ids: dict[int, str] = {}
        async with aclosing(self._shards()) as shards:
            async for lines in shards:
                custom_ids |= executor.results.custom_ids(self._batch, lines)
        return custom_ids

    async def _shards(self) -> AsyncGenerator[list[tuple[int, bytes]], None]:
        """Yield the lines of the job's requests in each shard, with their seqs."""
        async with aclosing(read_shards(self._blobs, self._claims)) as shards:
            async for lines in shards:
                yield [(seq, line) for seq, line in lines if seq in self._seqs]
