"""The JSON of a Message Batch and of errors (native-lanes 2.5, batch-apis 1.4, 1.7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import json_response, status_of
from batchgate.providers.simulator.batches.job import Job, JobState
from batchgate.providers.simulator.batches.rows import RowState

RESULTS_LIFE: Final = 29 * 86_400.0
"""For how many seconds after its creation the results of a batch are kept."""


def batch_object(job: Job, base_url: str, now: float) -> dict[str, object]:
    """Return a batch, with all ten keys; its results are hidden while the fault ``late_output_file`` lasts."""
    readable = has_results(job, now) and job.late_polls == 0
    return {
        "id": job.request.id,
        "type": "message_batch",
        "processing_status": _status(job),
        "request_counts": _counts(job),
        "created_at": _time(job.request.created),
        "expires_at": _time(job.request.expires),
        "ended_at": _time(job.entered[job.state]) if job.ended else None,
        "cancel_initiated_at": _time(job.entered.get(JobState.CANCELLING)),
        "archived_at": _time(_archived(job)) if now >= _archived(job) else None,
        "results_url": f"{base_url}/v1/messages/batches/{job.request.id}/results" if readable else None,
    }


def has_results(job: Job, now: float) -> bool:
    """Return whether results can be read."""
    return job.ended and now < _archived(job)


def _archived(job: Job) -> float:
    return job.request.created + RESULTS_LIFE


def _time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def _status(job: Job) -> str:
    if job.ended:
        return "ended"
    if job.state is JobState.CANCELLING:
        return "canceling"
    return job.faults.unknown_status or "in_progress"


def _counts(job: Job) -> dict[str, int] | None:
    """Return the counters; all rows are in ``processing`` until the whole batch ends."""
    if job.faults.counters == "null":
        return None
    names: tuple[RowState, ...] = ("succeeded", "errored", "canceled", "expired")
    counts: dict[str, int] = {name: job.log.count(name) if job.ended else 0 for name in names}
    counts["processing"] = 0 if job.ended else len(job.log.rows)
    if job.faults.counters == "zero":
        return dict.fromkeys(counts, 0)
    if job.faults.counters == "too_many":
        counts["succeeded"] += len(job.log.rows) + 1
    return counts


def anthropic_error(refusal: RefusedError, request_id: str) -> web.Response:
    """Return a refusal in Anthropic's form."""
    message = "API key is invalid." if refusal.kind == "authentication_error" else refusal.message
    error = {"type": refusal.kind, "message": message}
    content = {"type": "error", "error": error, "request_id": request_id}
    return json_response(content, status_of(refusal), refusal.headers)
