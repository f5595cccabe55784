"""Batches in the unified shape; fields without a value are omitted."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from msgspec import UNSET, Raw, UnsetType

from batchgate.api.metadata import metadata_view
from batchgate.api.public_url import PublicUrl
from batchgate.api.spend_view import spend_view
from batchgate.api.statuses import anthropic_status, times, unified_status
from batchgate.api.unified.extra_fields import ExtraFields
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.engine.model.batch import Batch, BatchPage
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.usage import Counts
from batchgate.engine.results.file_views import batch_file_ids
from batchgate_api import gateway

T = TypeVar("T")


class UnifiedBatchView:
    """Builds batch objects for callers."""

    def __init__(self, public_url: PublicUrl, *, relative_results_url: bool) -> None:
        self._public_url = public_url
        self._relative = relative_results_url

    def batch(
        self, request: web.Request, batch: Batch, provider: str, extra: ExtraFields, faults: bytes | None = None
    ) -> gateway.UnifiedBatch:
        """Return a batch object for the provider that the caller named, with all ``faults`` or the first ones."""
        faults = faults or batch.first_faults
        files, moments = batch_file_ids(batch), times(batch)
        of_messages = batch.dialect == "anthropic"
        return gateway.UnifiedBatch(
            id=batch.id,
            object="batch",
            endpoint=batch.options.endpoint or MESSAGES,
            input_file_id=files.input,
            completion_window=batch.options.completion_window,
            status=unified_status(batch),
            request_counts=_counts(batch.counts),
            name=batch.options.name,
            metadata=_given(metadata_view(batch)),
            created_at=moments.created_at,
            expires_at=moments.expires_at,
            in_progress_at=_given(moments.in_progress_at),
            finalizing_at=_given(moments.finalizing_at),
            completed_at=_given(moments.completed_at),
            failed_at=_given(moments.failed_at),
            expired_at=_given(moments.expired_at),
            cancelling_at=_given(moments.cancelling_at),
            cancelled_at=_given(moments.cancelled_at),
            archived_at=UNSET if batch.archived_at is None else batch.archived_at // MICROSECONDS,
            output_file_id=_given(files.output),
            error_file_id=_given(files.error),
            errors=UNSET if faults is None else gateway.BatchErrors(object="list", data=Raw(faults)),
            processing_status=anthropic_status(batch) if of_messages else UNSET,
            results_url=self._results_url(request, batch) if of_messages else UNSET,
            spent=spend_view(batch.spend) if batch.spend.is_known else UNSET,
            extra_fields=extra(provider, batch.options.model),
        )

    def page(
        self, request: web.Request, page: BatchPage, provider: str, extra: ExtraFields, *, backwards: bool
    ) -> gateway.UnifiedBatchList:
        """Return a page; ``backwards`` means that it continues with newer batches."""
        data = [self.batch(request, batch, provider, extra) for batch in page.batches]
        return gateway.UnifiedBatchList(
            object="list",
            data=data,
            first_id=data[0].id if data else UNSET,
            last_id=data[-1].id if data else UNSET,
            has_more=page.has_more,
            next_cursor=data[0 if backwards else -1].id if data and page.has_more else UNSET,
            extra_fields=extra(provider, None),
        )

    def _results_url(self, request: web.Request, batch: Batch) -> str | UnsetType:
        if batch.results_blob is None:
            return UNSET
        path = f"/v1/messages/batches/{batch.id}/results"
        return path if self._relative else self._public_url.absolute(request, path)


def _counts(counts: Counts) -> gateway.UnifiedRequestCounts:
    return gateway.UnifiedRequestCounts(
        total=counts.total,
        completed=counts.succeeded,
        failed=counts.errored,
        succeeded=counts.succeeded or UNSET,
        expired=counts.expired or UNSET,
        canceled=counts.canceled or UNSET,
        pending=counts.processing or UNSET,
    )


def _given(value: T | None) -> T | UnsetType:
    """Return UNSET for None."""
    return UNSET if value is None else value
