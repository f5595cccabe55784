"""The progress of a batch, its results so far, and the list of all batches."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UnsetType

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CONTENTS, FORECASTS, MERGED_RESULTS, PARTIAL_RESULTS, WAIT, WORKSPACE
from batchgate.api.downloads import JSONL, send_lines
from batchgate.api.gateway.events import send_events
from batchgate.api.gateway.forecast_view import forecast_view
from batchgate.api.gateway.lane_view import lane_view
from batchgate.api.gateway.model_load_view import model_load_view
from batchgate.api.gateway.pause_view import pause_view
from batchgate.api.gateway.retried_calls_view import retried_calls_view
from batchgate.api.gateway.summaries import SUMMARIES
from batchgate.api.metadata import metadata_of_form, metadata_view
from batchgate.api.sending import send_pieces
from batchgate.api.spend_view import dollars_or_none, spend_view
from batchgate.engine.model.batch import BatchFilters
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.health_report import BatchWait, Refusal
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.times import read_time, rfc3339
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

RESULT_COUNT_HEADER: Final = "batchgate-results"
MERGED_HEADER: Final = "batchgate-merged"
DEFAULT_LIMIT: Final = 20


class BatchProgressHandler:
    """`BatchProgressHandlers` on the engine."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def list_all_batches(
        self, request: web.Request, parameters: parameters.ListAllBatchesParameters
    ) -> gateway.BatchSummaryList:
        """List batches, newest first."""
        filters = BatchFilters(
            name=value_or_none(parameters.name),
            metadata=metadata_of_form("metadata", parameters.metadata),
            status=value_or_none(parameters.status),
            model=value_or_none(parameters.model),
            account=value_or_none(parameters.account),
            created_after=_read_bound("created_after", parameters.created_after) or 0,
            created_before=_read_bound("created_before", parameters.created_before),
        )
        limit = value_or_none(parameters.limit) or DEFAULT_LIMIT
        after = value_or_none(parameters.after)
        page = await request.app[BATCHES].search(request[WORKSPACE], filters, after=after, limit=limit)
        return gateway.BatchSummaryList(data=await request.app[SUMMARIES].of(page.batches), next=page.next)

    async def get_batch_progress(
        self, request: web.Request, parameters: parameters.GetBatchProgressParameters
    ) -> gateway.BatchProgress:
        """Return the counts of a batch."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        counts = msgspec.structs.asdict(batch.counts)
        wait = BatchWait() if batch.ended_at is not None else request.app[WAIT](batch)
        paused = batch.pause or wait.paused
        jobs = await request.app[BATCHES].jobs(batch)
        return gateway.BatchProgress(
            id=batch.id,
            name=batch.options.batch_name,
            metadata=metadata_view(batch),
            parent=batch.parent,
            reuses=batch.options.reused_batch,
            reused=batch.reused,
            retried_calls=retried_calls_view(batch),
            priority=batch.priority,
            priority_scope=batch.priority_scope,
            concurrency_cap=batch.cap.limit,
            status=batch.status,
            **counts,
            repeated=batch.repeated,
            paused=None if paused is None else pause_view(paused, jobs),
            last_refusal=None if wait.refusal is None else _refusal(wait.refusal),
            concurrency=[model_load_view(load) for load in wait.loads],
            lanes=[lane_view(batch.options, part) for part in await request.app[BATCHES].lanes(batch)],
            jobs=[_job(job) for job in jobs],
            paid_twice=batch.paid_twice,
            spent=spend_view(batch.spend),
            budget_usd=dollars_or_none(batch.budget),
            tokens=_tokens(batch.usage),
            forecast=forecast_view(request.app[FORECASTS].of(batch, jobs)),
            failures=[_failures(group) for group in await request.app[BATCHES].failures(batch)],
        )

    async def stream_batch_events(
        self, request: web.Request, parameters: parameters.StreamBatchEventsParameters
    ) -> web.StreamResponse:
        """Send what happens to a batch."""
        return await send_events(request, parameters.batch_id, parameters)

    async def stream_events(
        self, request: web.Request, parameters: parameters.StreamEventsParameters
    ) -> web.StreamResponse:
        """Send what happens to all batches of the workspace."""
        return await send_events(request, None, parameters)

    async def get_batch_results(
        self, request: web.Request, parameters: parameters.GetBatchResultsParameters
    ) -> web.StreamResponse:
        """Download the results so far."""
        batches = request.app[BATCHES]
        batch = await batches.find(request[WORKSPACE], parameters.batch_id)
        is_merged = value_or_none(parameters.merged) or False
        if batch.ended_at is not None or is_merged:
            batch = await batches.find_with_results(request[WORKSPACE], parameters.batch_id)
        counts = batch.counts
        headers = {"Content-Type": JSONL, RESULT_COUNT_HEADER: f"{counts.total - counts.processing}/{counts.total}"}
        if is_merged:
            found = await request.app[MERGED_RESULTS].merge(batch)
            headers[MERGED_HEADER] = f"{found.merged}/{found.retries}"
            return await send_lines(request, self._blobs, found.content, headers)
        if batch.results_blob is not None:
            content = request.app[CONTENTS].results(batch, batch.dialect)
            return await send_lines(request, self._blobs, content, headers)
        pieces = request.app[PARTIAL_RESULTS].read(batch)
        return await send_pieces(request, web.StreamResponse(headers=headers), pieces)


def _read_bound(name: str, text: str | UnsetType) -> int | None:
    time = value_or_none(text)
    return None if time is None else read_time(name, time)


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


def _tokens(usage: Usage) -> gateway.BatchTokens:
    return gateway.BatchTokens(
        input=usage.input_tokens,
        cached_input=usage.cached_tokens,
        output=usage.output_tokens,
        reasoning=usage.reasoning_tokens,
    )


def _failures(group: FailureGroup) -> gateway.FailureGroup:
    return gateway.FailureGroup(
        kind=group.kind,
        message=group.pattern,
        count=group.count,
        custom_ids=[request.custom_id for request in group.first],
        example=group.example,
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
