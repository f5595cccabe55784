"""Batches in the shape of the Messages API."""

from __future__ import annotations

from aiohttp import web

from batchgate.api.public_url import PublicUrl
from batchgate.api.statuses import anthropic_status
from batchgate.engine.model.batch import Batch, BatchPage
from batchgate.engine.model.times import rfc3339, rfc3339_or_none
from batchgate_api import anthropic


class MessageBatchView:
    """Builds batch objects for callers."""

    def __init__(self, public_url: PublicUrl, *, live_counts: bool, relative_results_url: bool) -> None:
        self._public_url = public_url
        self._live_counts = live_counts
        self._relative = relative_results_url

    def batch(self, request: web.Request, batch: Batch) -> anthropic.MessageBatch:
        """Return a batch object."""
        return anthropic.MessageBatch(
            id=batch.id,
            type="message_batch",
            processing_status=anthropic_status(batch),
            request_counts=self._counts(batch),
            ended_at=rfc3339_or_none(batch.ended_at),
            created_at=rfc3339(batch.created_at),
            expires_at=rfc3339(batch.expires_at),
            archived_at=rfc3339_or_none(batch.archived_at),
            cancel_initiated_at=rfc3339_or_none(batch.cancel_initiated_at),
            results_url=self._results_url(request, batch),
        )

    def page(self, request: web.Request, page: BatchPage) -> anthropic.MessageBatchPage:
        """Return a page of batch objects."""
        data = [self.batch(request, batch) for batch in page.batches]
        return anthropic.MessageBatchPage(
            data=data,
            has_more=page.has_more,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
        )

    def _results_url(self, request: web.Request, batch: Batch) -> str | None:
        if batch.results_blob is None:
            return None
        path = f"/v1/messages/batches/{batch.id}/results"
        return path if self._relative else self._public_url.absolute(request, path)

    def _counts(self, batch: Batch) -> anthropic.RequestCounts:
        """Return the documented counts: all are processing until the end, unless live_counts is set."""
        counts = batch.counts
        if batch.status != "ended" and not self._live_counts:
            return anthropic.RequestCounts(processing=counts.total, succeeded=0, errored=0, canceled=0, expired=0)
        return anthropic.RequestCounts(
            processing=counts.processing,
            succeeded=counts.succeeded,
            errored=counts.errored,
            canceled=counts.canceled,
            expired=counts.expired,
        )
