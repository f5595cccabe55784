"""What callers do to a running batch beside canceling it, and what that changes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import UNSET, Struct, structs

from batchgate.engine.model.batch import Batch, BatchPause, BatchPauseCode, PausedJobs
from batchgate.engine.model.budget import BudgetPauseCode, is_reached, reached_text
from batchgate.engine.model.concurrency_cap import ConcurrencyCap
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.priority import Priority, PriorityScope
from batchgate.engine.model.times import rfc3339
from batchgate.engine.model.workspace import format_dollars

TIMELINE_ENTRIES: Final = 100
"""The latest actions on a batch that are kept."""

ActionName: TypeAlias = Literal[
    "paused", "resumed", "deadline_moved", "budget_changed", "priority_changed", "concurrency_changed", "lane_changed"
]
"""What was done to a batch."""


BUDGET_CODES: Final[frozenset[str]] = frozenset(get_args(BudgetPauseCode))
"""The codes of pauses that another budget ends."""


class Pause(Struct, frozen=True, kw_only=True):
    """Send no further request of the batch."""

    code: BatchPauseCode = "requested"
    reason: str | None = None
    """What the caller said, or what the results of the batch say."""
    native_jobs: PausedJobs | None = None
    """What happens to the jobs that the provider has; None for ``keep``, or for what an earlier pause says."""


class Resume(Struct, frozen=True, kw_only=True):
    """Send requests again."""


class MoveDeadline(Struct, frozen=True, kw_only=True):
    """Let the batch expire at another time."""

    expires_at: int


class ChangeBudget(Struct, frozen=True, kw_only=True):
    """Let the answers of the batch cost more or less in all before it is paused, or any amount."""

    budget: int | None


class SetPriority(Struct, frozen=True, kw_only=True):
    """Give the batch another share of the calls of its workspace."""

    priority: Priority
    scope: PriorityScope = "workspace"

    @property
    def applied_scope(self) -> PriorityScope:
        """The scope that the batch gets: ``normal`` is a share of its workspace's calls."""
        return "workspace" if self.priority == "normal" else self.scope


class SetConcurrency(Struct, frozen=True, kw_only=True):
    """Let this many direct calls of the batch be in flight, or any number."""

    limit: int | None


class SetLane(Struct, frozen=True, kw_only=True):
    """Let the requests without a result take another lane."""

    lane: Lane


Action: TypeAlias = Pause | Resume | MoveDeadline | ChangeBudget | SetPriority | SetConcurrency | SetLane


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """One action that has changed a batch."""

    at: int
    """When, in microseconds since the epoch."""
    action: ActionName
    by: str
    """The name of the API key; empty if the gateway needs no key, or did it itself."""
    detail: str | None = None


def steered(batch: Batch, action: Action, *, by: str, at: int) -> tuple[Batch, TimelineEntry] | None:
    """Return a batch after an action, and the entry of its timeline; None if the action changes nothing.

    An action on a batch that is canceling, has expired or has ended changes nothing. Nor does the resume of one whose
    budget is reached.
    """
    if batch.status not in {"validating", "in_progress"} or batch.expires_at <= at:
        return None
    match action:
        case Pause():
            changed = _paused(batch, action, by=by, at=at)
            entry = TimelineEntry(at=at, action="paused", by=by, detail=_pause_detail(batch.pause, changed.pause))
        case Resume():
            changed = batch if is_reached(batch.budget, batch.spend) else structs.replace(batch, pause=None)
            entry = TimelineEntry(at=at, action="resumed", by=by)
        case MoveDeadline():
            changed = structs.replace(batch, expires_at=action.expires_at)
            entry = TimelineEntry(at=at, action="deadline_moved", by=by, detail=rfc3339(action.expires_at))
        case ChangeBudget():
            changed = _with_budget(batch, action.budget, by=by, at=at)
            entry = TimelineEntry(at=at, action="budget_changed", by=by, detail=_budget_detail(batch, changed))
        case SetPriority():
            changed = structs.replace(batch, priority=action.priority, priority_scope=action.applied_scope)
            detail = action.priority + (" beside all workspaces" if action.applied_scope == "gateway" else "")
            entry = TimelineEntry(at=at, action="priority_changed", by=by, detail=detail)
        case SetConcurrency():
            changed = _with_cap(batch, action.limit)
            detail = "none" if action.limit is None else str(action.limit)
            entry = TimelineEntry(at=at, action="concurrency_changed", by=by, detail=detail)
        case SetLane():
            changed = _with_lane(batch, action.lane)
            entry = TimelineEntry(at=at, action="lane_changed", by=by, detail=action.lane)
    return None if changed == batch else (changed, entry)


def _paused(batch: Batch, action: Pause, *, by: str, at: int) -> Batch:
    """Return a batch that is paused; one that was paused already may only get another rule for its native jobs."""
    before = batch.pause
    jobs = action.native_jobs or ("keep" if before is None else before.native_jobs)
    if before is None or _may_replace(before, action):
        pause = BatchPause(code=action.code, reason=action.reason, since=at, by=by, native_jobs=jobs)
        return structs.replace(batch, pause=pause, pace=None)
    return structs.replace(batch, pause=structs.replace(before, native_jobs=jobs))


def _pause_detail(before: BatchPause | None, after: BatchPause | None) -> str | None:
    assert after is not None
    is_same = before is not None and structs.replace(before, native_jobs=after.native_jobs) == after
    has_other_jobs = after.native_jobs != ("keep" if before is None else before.native_jobs)
    reason, jobs = None if is_same else after.reason, f"native jobs: {after.native_jobs}" if has_other_jobs else None
    return "; ".join(filter(None, (reason, jobs))) or None


def _may_replace(before: BatchPause, pause: Pause) -> bool:
    """Return whether a pause replaces an earlier one.

    A caller's one replaces that for a budget, which a higher budget ends. One for results that cannot be reused
    replaces a caller's: who resumes the batch has to know what it will send.
    """
    if pause.code == "reuse_failed":
        return before.code == "requested"
    return pause.code == "requested" and before.code in BUDGET_CODES


def _with_cap(batch: Batch, limit: int | None) -> Batch:
    if limit == batch.cap.limit:
        return batch
    return structs.replace(batch, cap=ConcurrencyCap(limit, batch.cap.changes + 1))


def _with_lane(batch: Batch, lane: Lane) -> Batch:
    """Return a batch with another lane; unchanged if all of its requests have results.

    It is planned anew if more of its requests may travel in jobs than in its present lane.
    """
    before = batch.options
    if lane == before.lane or batch.is_answered:
        return batch
    options = structs.replace(before, lane=lane, account_lanes=UNSET)
    if lane == "direct":
        options = structs.replace(options, left_jobs=True)
    awaits_plan = batch.awaits_plan or (lane != "direct" and before.lane != "native")
    changes = batch.lane_changes + 1
    return structs.replace(batch, options=options, lane_changes=changes, awaits_plan=awaits_plan, pace=None)


def _with_budget(batch: Batch, budget: int | None, *, by: str, at: int) -> Batch:
    """Return a batch with another budget, which ends its pause for the old one, or pauses it if it is reached."""
    if budget == batch.budget:
        return batch
    changed = structs.replace(batch, budget=budget)
    if is_reached(budget, batch.spend):
        if batch.pause is not None or budget is None:
            return changed
        pause = BatchPause(code="budget_reached", reason=reached_text(budget, batch.spend), since=at, by=by)
        return structs.replace(changed, pause=pause, pace=None)
    if batch.pause is not None and batch.pause.code in BUDGET_CODES:
        return structs.replace(changed, pause=None)
    return changed


def _budget_detail(before: Batch, after: Batch) -> str:
    budget = "none" if after.budget is None else format_dollars(after.budget)
    if before.pause is not None and after.pause is None:
        return f"{budget}, and the batch goes on"
    return budget if after.pause == before.pause else f"{budget}, which is reached"
