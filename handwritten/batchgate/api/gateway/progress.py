"""The progress of a batch, and its results so far."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from batchgate.api.context import BATCHES, CONTENTS, PARTIAL_RESULTS, WORKSPACE
from batchgate.api.downloads import JSONL, send_lines
from batchgate.api.sending import send_pieces
from batchgate.api.times import rfc3339
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.health_report import BatchWait, Refusal
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

RESULT_COUNT_HEADER = "batchgate-results"


class BatchProgressHandler:
    """`BatchProgressHandlers` on the engine."""

    def __init__(self, blobs: Blobs, wait: Callable[[Batch], BatchWait]) -> None:
        self._blobs = blobs
        self._wait = wait

    async def get_batch_progress(
        self, request: web.Request, parameters: parameters.GetBatchProgressParameters
    ) -> gateway.BatchProgress:
        """Return the counts of a batch."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        counts = msgspec.structs.asdict(batch.counts)
        wait = BatchWait() if batch.ended_at is not None else self._wait(batch)
        paused = None if wait.paused is None else gateway.BatchPause(code=wait.paused.code, reason=wait.paused.reason)
        return gateway.BatchProgress(
            id=batch.id,
            status=batch.status,
            **counts,
            repeated=batch.repeated,
            paused=paused,
            last_refusal=None if wait.refusal is None else _refusal(wait.refusal),
            jobs=[_job(job) for job in await request.app[BATCHES].jobs(batch)],
        )

    async def get_batch_results(
        self, request: web.Request, parameters: parameters.GetBatchResultsParameters
    ) -> web.StreamResponse:
        """Download the results so far."""
        batches = request.app[BATCHES]
        batch = await batches.find(request[WORKSPACE], parameters.batch_id)
        if batch.ended_at is not None:
            batch = await batches.find_with_results(request[WORKSPACE], parameters.batch_id)
        counts = batch.counts
        headers = {"Content-Type": JSONL, RESULT_COUNT_HEADER: f"{counts.total - counts.processing}/{counts.total}"}
        if batch.results_blob is not None:
            content = request.app[CONTENTS].results(batch, batch.dialect)
            return await send_lines(request, self._blobs, content, headers)
        pieces = request.app[PARTIAL_RESULTS].read(batch)
        return await send_pieces(request, web.StreamResponse(headers=headers), pieces)


def _job(job: NativeJob) -> gateway.NativeJob:
    return gateway.NativeJob(
        account=job.account,
        model=job.model,
        state=job.state,
        requests=job.requests,
        answered=job.answered,
        upstream_id=job.upstream_id,
        upstream_status=job.upstream_status,
        reason=job.reason,
    )


def _refusal(refusal: Refusal) -> gateway.BatchRefusal:
    return gateway.BatchRefusal(
        code=refusal.kind,
        status=refusal.status or None,
        message=refusal.message,
        account=refusal.account,
        model=refusal.model,
        at=rfc3339(refusal.at),
    )
