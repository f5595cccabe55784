"""Reports the calls to a provider's batch API to telemetry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, ProviderBatches, ResultGroups, UpstreamJob
from batchgate.engine.ports.telemetry import ABANDONED, SUCCEEDED, NativeCall, Telemetry


@contextmanager
def measured(telemetry: Telemetry, batch: Batch, job: NativeJob, call: NativeCall) -> Iterator[None]:
    """Report a call: it succeeded, failed with the kind of its error, or was abandoned for another reason."""
    started, outcome = time.perf_counter(), ABANDONED
    try:
        yield
        outcome = SUCCEEDED
    except UpstreamError as error:
        outcome = error.kind
        raise
    finally:
        telemetry.native_call_ended(batch, job, call, outcome, time.perf_counter() - started)


class MeasuredBatches:
    """`ProviderBatches` that reports the calls for the jobs of one batch; `results` are reported by who reads them."""

    def __init__(self, batches: ProviderBatches, batch: Batch, telemetry: Telemetry) -> None:
        self._batches: Final = batches
        self._batch: Final = batch
        self._telemetry: Final = telemetry

    @property
    def limits(self) -> LaneLimits:
        """What one job may have."""
        return self._batches.limits

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind."""
        return self._batches.sent_kind(kind)

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively; None if it can."""
        return self._batches.refusal(row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a row of a job."""
        return self._batches.encode(account, row, identifier)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str | None:
        """Upload the input of a job."""
        with measured(self._telemetry, self._batch, job, "upload"):
            return await self._batches.upload(account, job, rows)

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job upstream."""
        with measured(self._telemetry, self._batch, job, "create"):
            return await self._batches.create(account, job, rows)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that may be the job."""
        with measured(self._telemetry, self._batch, job, "find"):
            return await self._batches.find(account, job)

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job."""
        with measured(self._telemetry, self._batch, job, "poll"):
            return await self._batches.poll(account, job)

    def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all result files."""
        return self._batches.results(account, job, upstream)

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask the provider to end a job."""
        with measured(self._telemetry, self._batch, job, "cancel"):
            await self._batches.cancel(account, job)

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete what a job left."""
        with measured(self._telemetry, self._batch, job, "discard"):
            await self._batches.discard(account, job, upstream)
