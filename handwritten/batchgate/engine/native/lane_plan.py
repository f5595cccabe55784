"""Chooses the lanes of the requests of a batch, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.dispatch.admission import LimiterKey
from batchgate.engine.dispatch.endpoint import LANE_DIRECT, lane_of
from batchgate.engine.dispatch.lane_choice import reason_of_request, reason_of_route, reason_to_batch
from batchgate.engine.dispatch.prepared_request import PreparedRequest
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.lane import LanePart, LaneReason
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.native.job_groups import JobGroups
from batchgate.engine.native.lane_parts import LaneParts


class LanePlan:
    """The lanes of a batch: which requests travel in which jobs, and why the others do not."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._groups = JobGroups(batch)
        self._parts = LaneParts()
        self._reasons: dict[LimiterKey, LaneReason | None] = {}

    def add(self, request: PreparedRequest, size: int, now: int) -> LaneReason | None:
        """Add a request with an input line of ``size`` bytes; return why it is in no job, or None if it may be."""
        key = request.route.key
        if key not in self._reasons:
            self._reasons[key] = reason_of_route(self._batch, request.route, now=now)
        reason = self._reasons[key] or reason_of_request(self._batch, request, size)
        if reason is None:
            self._groups.add(request, size)
        else:
            is_called = lane_of(self._batch.options, request.route.endpoint) != "native"
            self._parts.add(key, "direct" if is_called else "none", reason)
        return reason

    def keep(self, job: NativeJob) -> None:
        """Add the requests of a job that the batch has already: it was moved to its present lane."""
        is_canceled = self._batch.options.lane == "direct"
        reason = LANE_DIRECT if is_canceled else reason_to_batch(is_asked_for=self._batch.options.lane == "native")
        self._parts.add((job.account, job.model), "direct" if is_canceled else "native", reason, job.requests)

    def jobs(self, now: int) -> Sequence[NativeJob]:
        """Return the jobs, once all requests have been added."""
        return tuple(self._groups.jobs(self._parts, now))

    def listed(self) -> Sequence[LanePart]:
        """Return how many requests take which lane, and why, once `jobs` has returned."""
        return self._parts.listed()
