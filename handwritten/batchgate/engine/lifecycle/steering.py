"""Steering of running batches: the operations that the HTTP API calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.engine.lifecycle.batches import require_batch
from batchgate.engine.model.batch import Batch, PausedJobs
from batchgate.engine.model.budget import is_reached, reached_text
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.completion_window import LONGEST_WINDOW
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.health_report import one_line
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.monthly_budget import cannot_resume
from batchgate.engine.model.priority import Priority, PriorityScope
from batchgate.engine.model.steering import (
    Action,
    ChangeBudget,
    MoveDeadline,
    Pause,
    Resume,
    SetConcurrency,
    SetLane,
    SetPriority,
    TimelineEntry,
)
from batchgate.engine.model.times import rfc3339
from batchgate.engine.ports.batch_signals import BatchSignals
from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.steering_store import SteeringStore
from batchgate.engine.storage.storage_probe import StorageProbe

SHORTEST_NOTICE: Final = 60 * MICROSECONDS
"""A deadline is moved to a time that is at least this far away: whoever wants less cancels the batch."""


class BatchSteering:
    """Pauses, resumes, extends and prioritizes batches; callers never see batches of other workspaces."""

    def __init__(
        self,
        *,
        store: BatchStore,
        steering: SteeringStore,
        budgets: BudgetStore,
        probe: StorageProbe,
        clock: Clock,
        signals: BatchSignals,
    ) -> None:
        self._store = store
        self._steering = steering
        self._budgets = budgets
        self._probe = probe
        self._clock = clock
        self._signals = signals

    async def pause(
        self, workspace: str, batch_id: str, *, by: str, reason: str | None, native_jobs: PausedJobs | None
    ) -> Batch:
        """Pause a batch; one that is paused keeps its pause, but may get another rule for its native jobs.

        Raises `RefusedError` for one that has stopped.
        """
        action = Pause(reason=reason and one_line(reason), native_jobs=native_jobs)
        batch = await self._steer(workspace, batch_id, action, by=by)
        if batch.pause is None or batch.pause.native_jobs != (native_jobs or batch.pause.native_jobs):
            raise _stopped(batch, "it cannot be paused")
        return batch

    async def resume(self, workspace: str, batch_id: str, *, by: str) -> Batch:
        """Resume a batch; one that is not paused is returned unchanged.

        Raises `RefusedError` if its budget is reached, or the monthly one of its workspace or its API key. If that of
        an account is reached, the batch is paused again before it calls the account.
        """
        found = require_batch(await self._store.find_batch(workspace, batch_id), batch_id)
        if found.pause is not None:
            for reached in await self._budgets.reached_budgets(found.key, self._clock.now()):
                if reached.kind != "account":
                    raise cannot_resume(batch_id, reached)
        batch = await self._steer(workspace, batch_id, Resume(), by=by)
        if batch.pause is None:
            return batch
        if batch.budget is None or not is_reached(batch.budget, batch.spend):
            raise _stopped(batch, "it cannot be resumed")
        message = f"Batch {batch.id!r} cannot be resumed: {reached_text(batch.budget, batch.spend)}. Raise it first."
        raise RefusedError("invalid_request_error", message)

    async def change_budget(self, workspace: str, batch_id: str, budget: int | None, *, by: str) -> Batch:
        """Let a batch cost more or less; raises `RefusedError` if it has stopped."""
        batch = await self._steer(workspace, batch_id, ChangeBudget(budget=budget), by=by)
        if batch.budget != budget:
            raise _stopped(batch, "its budget cannot be changed")
        return batch

    async def move_deadline(self, workspace: str, batch_id: str, expires_at: int, *, by: str) -> Batch:
        """Let a batch expire at another time; raises `RefusedError` if it has stopped, or the time is out of bounds."""
        found = require_batch(await self._store.find_batch(workspace, batch_id), batch_id)
        if expires_at != found.expires_at:
            self._check_bounds(found, expires_at)
        batch = await self._steer(workspace, batch_id, MoveDeadline(expires_at=expires_at), by=by)
        if batch.expires_at != expires_at:
            raise _stopped(batch, "its deadline cannot be moved")
        return batch

    def _check_bounds(self, batch: Batch, expires_at: int) -> None:
        earliest, latest = self._clock.now() + SHORTEST_NOTICE, batch.created_at + LONGEST_WINDOW
        if not earliest <= expires_at <= latest:
            bounds = f"at least a minute from now and at most {rfc3339(latest)}, 7 days after the batch was created"
            message = f"expires_at: it must be {bounds}, not {rfc3339(expires_at)}"
            raise RefusedError("invalid_request_error", message, param="expires_at")

    async def set_priority(
        self, workspace: str, batch_id: str, priority: Priority, *, scope: PriorityScope = "workspace", by: str
    ) -> Batch:
        """Give a batch another priority; raises `RefusedError` if it has stopped. Only admins may use ``gateway``."""
        action = SetPriority(priority=priority, scope=scope)
        batch = await self._steer(workspace, batch_id, action, by=by)
        if (batch.priority, batch.priority_scope) != (priority, action.applied_scope):
            raise _stopped(batch, "its priority cannot be changed")
        return batch

    async def set_concurrency(self, workspace: str, batch_id: str, limit: int | None, *, by: str) -> Batch:
        """Let this many direct calls of a batch be in flight, or any number for None.

        Raises `RefusedError` if it has stopped.
        """
        batch = await self._steer(workspace, batch_id, SetConcurrency(limit=limit), by=by)
        if batch.cap.limit != limit:
            raise _stopped(batch, "its concurrency cap cannot be changed")
        return batch

    async def set_lane(self, workspace: str, batch_id: str, lane: Lane, *, by: str) -> Batch:
        """Let the requests of a batch that have no result and are not in flight take another lane.

        Raises `RefusedError` if it has stopped, or if all of its requests have results.
        """
        batch = await self._steer(workspace, batch_id, SetLane(lane=lane), by=by)
        if batch.options.lane == lane:
            return batch
        if batch.status == "in_progress" and batch.is_answered:
            message = f"All requests of batch {batch.id!r} have results; its lane cannot be changed."
            raise RefusedError("invalid_request_error", message)
        raise _stopped(batch, "its lane cannot be changed")

    async def timeline(self, workspace: str, batch_id: str) -> Sequence[TimelineEntry]:
        """Return the latest actions that have changed a batch, the oldest first."""
        batch = await self._store.find_batch(workspace, batch_id)
        return await self._steering.timeline(require_batch(batch, batch_id).key)

    async def _steer(self, workspace: str, batch_id: str, action: Action, *, by: str) -> Batch:
        with self._probe.reporting_errors():
            steered = await self._steering.steer_batch(workspace, batch_id, action, by=by, now=self._clock.now())
        batch = require_batch(steered, batch_id)
        self._signals.steer()
        return batch


def _stopped(batch: Batch, consequence: str) -> RefusedError:
    """Return the error for a batch that sends nothing any more."""
    over = "is canceling" if batch.status == "canceling" else "has expired"
    state = over if batch.ended_at is None else "has ended"
    return RefusedError("invalid_request_error", f"Batch {batch.id!r} {state}; {consequence}.")
