"""Batches in the OpenAI shape; batches of Anthropic's dialect appear as batches of Chat Completions."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from batchgate.api.statuses import openai_status, times
from batchgate.engine.model.batch import Batch, BatchPage
from batchgate.engine.model.usage import Usage
from batchgate.engine.results.file_views import batch_file_ids
from batchgate_api import openai

MESSAGES_ENDPOINT: Final[openai.BatchEndpoint] = "/v1/chat/completions"
"""The endpoint shown for Messages requests, whose files are translated to it."""


def openai_batch(batch: Batch, faults: bytes | None = None) -> openai.Batch:
    """Return a batch object with all ``faults``, or the first ones."""
    faults = faults or batch.first_faults
    files, moments = batch_file_ids(batch), times(batch)
    return openai.Batch(
        id=batch.id,
        object="batch",
        endpoint=batch.options.endpoint or MESSAGES_ENDPOINT,
        model=batch.options.model if batch.in_progress_at is None else batch.model,
        errors=None if faults is None else openai.BatchErrors(object="list", data=Raw(faults)),
        input_file_id=files.input,
        completion_window=batch.options.completion_window,
        status=openai_status(batch),
        output_file_id=files.output,
        error_file_id=files.error,
        created_at=moments.created_at,
        in_progress_at=moments.in_progress_at,
        expires_at=moments.expires_at,
        finalizing_at=moments.finalizing_at,
        completed_at=moments.completed_at,
        failed_at=moments.failed_at,
        expired_at=moments.expired_at,
        cancelling_at=moments.cancelling_at,
        cancelled_at=moments.cancelled_at,
        request_counts=_counts(batch),
        usage=_usage(batch.usage),
        metadata=None if batch.options.metadata is None else dict(batch.options.metadata),
    )


def batch_list(page: BatchPage) -> openai.BatchList:
    """Return a page of batch objects."""
    data = [openai_batch(batch) for batch in page.batches]
    return openai.BatchList(
        object="list",
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def _counts(batch: Batch) -> openai.BatchRequestCounts:
    counts = batch.counts
    failed = counts.errored + counts.canceled + counts.expired
    return openai.BatchRequestCounts(total=counts.total, completed=counts.succeeded, failed=failed)


def _usage(usage: Usage) -> openai.BatchUsage:
    return openai.BatchUsage(
        input_tokens=usage.input_tokens,
        input_tokens_details=openai.BatchInputTokens(cached_tokens=usage.cached_tokens),
        output_tokens=usage.output_tokens,
        output_tokens_details=openai.BatchOutputTokens(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
