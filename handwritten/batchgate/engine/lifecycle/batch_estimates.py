"""Estimates of batches: their requests are read as for a create, but nothing is stored and nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from batchgate.engine.dispatch.admission import LimiterKey
from batchgate.engine.dispatch.request_reader import RequestReader
from batchgate.engine.dispatch.router import Router
from batchgate.engine.intake.line_stream import read_lines
from batchgate.engine.lifecycle.batches import Batches, unpriced_budget
from batchgate.engine.lifecycle.durations import durations
from batchgate.engine.lifecycle.model_sums import shown_models, total_of_models
from batchgate.engine.lifecycle.trial_plan import TrialPlan, trial_batch
from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.batch_estimate import BatchEstimate, ModelEstimate
from batchgate.engine.model.call_history import CallHistory
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.file import File
from batchgate.engine.model.request_fault import FaultList, RequestFault
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.body_readers import BatchFileReader, BodyReader, OpenBatchFile, ReadRequests
from batchgate.engine.ports.rows import LineTranslator
from batchgate.engine.storage.line_spool import line_spool
from batchgate.engine.storage.verified_reading import verified
from batchgate.engine.support.prefetch import prefetch_next

AT_ONCE: Final = 2
"""Estimates that a process computes at the same time; others wait."""
LINES_AT_ONCE: Final = 500
"""Lines that a thread goes through before others have a turn."""


class BatchEstimates:
    """Estimates what batches would need."""

    def __init__(
        self,
        *,
        batches: Batches,
        blobs: Blobs,
        requests: RequestReader,
        translator: LineTranslator,
        file_reader: OpenBatchFile,
        router: Router,
        history: Callable[[], CallHistory],
        clock: Clock,
    ) -> None:
        self._batches = batches
        self._blobs = blobs
        self._requests = requests
        self._translator = translator
        self._file_reader = file_reader
        self._router = router
        self._history = history
        self._clock = clock
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def of_requests(
        self,
        submission: Callable[[], Submission],
        body: AsyncIterator[bytes],
        reader: BodyReader,
        requests: ReadRequests,
    ) -> BatchEstimate:
        """Estimate a create with this body; raises `RefusedError` for one that is refused whatever its requests are.

        ``submission`` is called after the body has been read, since the body may contain its fields. Until then the
        lines are in a temporary file.
        """
        with line_spool() as spool:
            async for lines in read_lines(body, reader):
                await spool.add(lines)
            new = await self._batches.preview(submission())
            return await self._estimate(new, spool.groups(), requests)

    async def of_file(self, submission: Submission) -> BatchEstimate:
        """Estimate a create from the file ``submission.options.input_file``; raises `RefusedError`."""
        new = await self._batches.preview(submission)
        file = await self._batches.input_file(submission)
        reader = self._file_reader(new.options, keeps_valid_lines=True)
        return await self._estimate(new, read_lines(self._content(file, reader), reader), _FileRequests(reader))

    async def _content(self, file: File, reader: BatchFileReader) -> AsyncIterator[bytes]:
        """Yield the content of a file, up to more requests than a batch may have."""
        name = file.blob or ""
        stored = verified(name, self._blobs.stream(name, 0, file.size), size=file.size, sha256=file.sha256)
        async with aclosing(prefetch_next(stored)) as stream:
            async for piece in stream:
                if not reader.over_limit:
                    yield piece

    async def _estimate(
        self, new: NewBatch, groups: AsyncIterator[list[bytes]], requests: ReadRequests
    ) -> BatchEstimate:
        async with self._turn:
            now = self._clock.now()
            plan = TrialPlan(trial_batch(new), self._requests, self._translator, self._history(), now)
            read = 0
            async for group in groups:
                for start in range(0, len(group), LINES_AT_ONCE):
                    lines = group[start : start + LINES_AT_ONCE]
                    places = requests.places[read : read + len(lines)]
                    await asyncio.to_thread(plan.add, list(zip(places, lines, strict=True)))
                    read += len(lines)
            found = requests.found
            invalid = found.requests
            found.extend(plan.faults)
            models = await asyncio.to_thread(plan.models)
            self._check_price(new, models)
            return self._result(plan, models, found, read + invalid)

    def _check_price(self, new: NewBatch, models: Mapping[LimiterKey, ModelEstimate]) -> None:
        """Raise `RefusedError` for a budget that cannot be kept, as a create does."""
        if new.options.first_budget is None or len(models) != 1:
            return
        [(account, model)] = models
        endpoint = self._router.endpoint(account)
        if endpoint is not None and endpoint.prices.find(model) is None:
            raise unpriced_budget(account, model)

    def _result(
        self, plan: TrialPlan, models: Mapping[LimiterKey, ModelEstimate], faults: FaultList, requests: int
    ) -> BatchEstimate:
        estimates = list(models.values())
        return BatchEstimate(
            requests=requests,
            fault_count=faults.count,
            faults=faults.listed(),
            lanes=plan.lanes(),
            not_native=plan.not_native(),
            models=shown_models(estimates),
            total=total_of_models(estimates),
            durations=durations(models, self._router, plan.history),
        )


class _FileRequests:
    """The `ReadRequests` of a file."""

    def __init__(self, reader: BatchFileReader) -> None:
        self._reader = reader

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the lines that were yielded."""
        return self._reader.places

    @property
    def found(self) -> FaultList:
        """The faults of the other lines."""
        faults = FaultList()
        for fault in self._reader.faults:
            faults.add(
                RequestFault(
                    place=fault.line,
                    custom_id=fault.custom_id,
                    param=fault.param,
                    code=fault.code,
                    message=fault.message,
                )
            )
        return faults
