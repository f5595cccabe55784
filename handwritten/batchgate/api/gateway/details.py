"""The requests of a batch beside their results, and how the batch went over time."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from msgspec import UNSET

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, ROW_PAGES, SERIES, WORKSPACE
from batchgate.api.gateway.cut_lines import cut_line
from batchgate.engine.lifecycle.batch_series import SeriesPoint
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.times import rfc3339
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate.engine.results.row_filter import RowFilter
from batchgate.engine.results.row_pages import FoundRow, RowPage
from batchgate_api import gateway, parameters

DEFAULT_LIMIT: Final = 50
DEFAULT_MAX_TEXT: Final = 4000


class BatchDetailsHandler:
    """`BatchDetailsHandlers` on the engine."""

    async def list_batch_rows(
        self, request: web.Request, parameters: parameters.ListBatchRowsParameters
    ) -> gateway.BatchRowPage:
        """Return a page of requests with their results."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        row_filter = RowFilter(outcome=value_or_none(parameters.outcome), text=value_or_none(parameters.q))
        limit = value_or_none(parameters.limit) or DEFAULT_LIMIT
        page = await request.app[ROW_PAGES].page(batch, value_or_none(parameters.after), row_filter, limit)
        max_text = value_or_none(parameters.max_text) or DEFAULT_MAX_TEXT
        return await asyncio.to_thread(_page, page, max_text)

    async def get_batch_series(
        self, request: web.Request, parameters: parameters.GetBatchSeriesParameters
    ) -> gateway.BatchSeries:
        """Return the points of a batch over time."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        points = await request.app[SERIES].read(batch)
        return gateway.BatchSeries(id=batch.id, data=[_point(point) for point in points])


def _page(page: RowPage, max_text: int) -> gateway.BatchRowPage:
    return gateway.BatchRowPage(
        id=page.batch.id,
        dialect=page.batch.dialect,
        total=page.batch.counts.total,
        data=[_row(row, max_text) for row in page.rows],
        next=None if page.next is None else page.next.cursor,
    )


def _row(row: FoundRow, max_text: int) -> gateway.BatchRow:
    request = cut_line(row.request, max_text)
    result = None if row.result is None else cut_line(row.result, max_text)
    return gateway.BatchRow(
        number=row.seq + 1,
        custom_id=row.custom_id,
        outcome=row.state,
        failure=row.failure,
        request=request.json,
        result=UNSET if result is None else result.json,
        is_cut=request.is_cut or (result is not None and result.is_cut),
    )


def _point(point: SeriesPoint) -> gateway.BatchSeriesPoint:
    totals, calls = point.totals, point.totals.calls
    return gateway.BatchSeriesPoint(
        at=rfc3339(totals.at),
        seconds=point.seconds,
        succeeded=totals.succeeded,
        failed=totals.failed,
        cost_usd=totals.cost / NANODOLLARS_PER_DOLLAR,
        latency=round(calls.duration / calls.calls / MICROSECONDS, 3) if calls.calls else None,
        max_latency=round(calls.longest / MICROSECONDS, 3) if calls.calls else None,
        in_flight=round(calls.duration / point.seconds / MICROSECONDS, 1) if calls.calls else None,
        limit=calls.limit,
    )
