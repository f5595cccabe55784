"""Control of a batch: pause, cancel, delete, deadline, budget, priority, concurrency cap, lane; and its timeline."""

from __future__ import annotations

from aiohttp import web
from msgspec import UnsetType

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CALLER, SCOPES, STEERING, WORKSPACE
from batchgate.api.gateway.pause_view import pause_view
from batchgate.api.spend_view import dollars_or_none
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.budget import budget_of
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.priority import PriorityScope
from batchgate.engine.model.steering import TimelineEntry
from batchgate.engine.model.times import read_time, rfc3339
from batchgate_api import gateway, parameters


class BatchControlHandler:
    """`BatchControlHandlers` on the engine."""

    async def pause_batch(
        self, request: web.Request, parameters: parameters.PauseBatchParameters
    ) -> gateway.BatchControls:
        """Pause a batch."""
        batch = await request.app[STEERING].pause(
            request[WORKSPACE],
            parameters.batch_id,
            by=request[CALLER],
            reason=value_or_none(parameters.reason),
            native_jobs=value_or_none(parameters.native_jobs),
        )
        return await _controls(request, batch)

    async def resume_batch(
        self, request: web.Request, parameters: parameters.ResumeBatchParameters
    ) -> gateway.BatchControls:
        """Resume a batch."""
        steering, caller = request.app[STEERING], request[CALLER]
        batch = await steering.resume(request[WORKSPACE], parameters.batch_id, by=caller)
        return await _controls(request, batch)

    async def cancel_any_batch(
        self, request: web.Request, parameters: parameters.CancelAnyBatchParameters
    ) -> gateway.BatchControls:
        """Cancel a batch."""
        batch = await request.app[BATCHES].cancel(request[WORKSPACE], parameters.batch_id)
        return await _controls(request, batch)

    async def delete_any_batch(
        self, request: web.Request, parameters: parameters.DeleteAnyBatchParameters
    ) -> gateway.DeletedBatch:
        """Delete a batch that has ended."""
        await request.app[BATCHES].delete(request[WORKSPACE], parameters.batch_id)
        return gateway.DeletedBatch(id=parameters.batch_id, deleted=True)

    async def move_batch_deadline(
        self, request: web.Request, parameters: parameters.MoveBatchDeadlineParameters, body: gateway.MoveDeadline
    ) -> gateway.BatchControls:
        """Let a batch expire at another time."""
        steering, caller, expires_at = request.app[STEERING], request[CALLER], read_time("expires_at", body.expires_at)
        batch = await steering.move_deadline(request[WORKSPACE], parameters.batch_id, expires_at, by=caller)
        return await _controls(request, batch)

    async def change_batch_budget(
        self, request: web.Request, parameters: parameters.ChangeBatchBudgetParameters, body: gateway.ChangeBudget
    ) -> gateway.BatchControls:
        """Let a batch cost more or less before it is paused."""
        steering, caller = request.app[STEERING], request[CALLER]
        budget = None if body.budget_usd is None else budget_of(body.budget_usd)
        batch = await steering.change_budget(request[WORKSPACE], parameters.batch_id, budget, by=caller)
        return await _controls(request, batch)

    async def set_batch_priority(
        self, request: web.Request, parameters: parameters.SetBatchPriorityParameters, body: gateway.SetPriority
    ) -> gateway.BatchControls:
        """Give a batch another share of the calls of its workspace."""
        scope: PriorityScope = value_or_none(body.scope) or "workspace"
        if scope == "gateway" and "admin" not in request[SCOPES]:
            message = "scope: a priority beside all workspaces needs an API key with the scope admin"
            raise RefusedError("permission_error", message, param="scope", code="missing_scope")
        batch = await request.app[STEERING].set_priority(
            request[WORKSPACE], parameters.batch_id, body.priority, scope=scope, by=request[CALLER]
        )
        return await _controls(request, batch)

    async def set_batch_concurrency(
        self, request: web.Request, parameters: parameters.SetBatchConcurrencyParameters, body: gateway.SetConcurrency
    ) -> gateway.BatchControls:
        """Let another number of direct calls of a batch be in flight."""
        steering, caller, limit = request.app[STEERING], request[CALLER], body.concurrency
        batch = await steering.set_concurrency(request[WORKSPACE], parameters.batch_id, limit, by=caller)
        return await _controls(request, batch)

    async def set_batch_lane(
        self, request: web.Request, parameters: parameters.SetBatchLaneParameters, body: gateway.SetLane
    ) -> gateway.BatchControls:
        """Move a batch to another lane."""
        steering, caller, lane = request.app[STEERING], request[CALLER], body.lane
        batch = await steering.set_lane(request[WORKSPACE], parameters.batch_id, lane, by=caller)
        return await _controls(request, batch)

    async def get_batch_timeline(
        self, request: web.Request, parameters: parameters.GetBatchTimelineParameters
    ) -> gateway.BatchTimeline:
        """Return what was done to a batch, the oldest action first."""
        entries = await request.app[STEERING].timeline(request[WORKSPACE], parameters.batch_id)
        return gateway.BatchTimeline(data=[_entry(entry) for entry in entries])


async def _controls(request: web.Request, batch: Batch) -> gateway.BatchControls:
    jobs = () if batch.pause is None else await request.app[BATCHES].jobs(batch)
    return gateway.BatchControls(
        id=batch.id,
        status=batch.status,
        paused=None if batch.pause is None else pause_view(batch.pause, jobs),
        expires_at=rfc3339(batch.expires_at),
        budget_usd=dollars_or_none(batch.budget),
        priority=batch.priority,
        priority_scope=batch.priority_scope,
        concurrency_cap=batch.cap.limit,
        lane=None if isinstance(batch.options.lane, UnsetType) else batch.options.lane,
    )


def _entry(entry: TimelineEntry) -> gateway.TimelineEntry:
    return gateway.TimelineEntry(at=rfc3339(entry.at), action=entry.action, by=entry.by or None, detail=entry.detail)
