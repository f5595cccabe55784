"""The JSON objects of Gemini's files and batch API (native-lanes 2.3, more-dialects 4.2, 4.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.job import Job, JobState
from batchgate.providers.simulator.batches.stored_files import StoredFile

GEMINI: Final = "gemini"
VERSION: Final = "/v1beta"

_TYPE: Final = "type.googleapis.com/google.ai.generativelanguage.v1main."
_STATES: Final[dict[JobState, str]] = {
    JobState.VALIDATING: "PENDING",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "RUNNING",
    JobState.CANCELLING: "RUNNING",
    JobState.COMPLETED: "SUCCEEDED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
    JobState.CANCELLED: "CANCELLED",
}
_ERRORS: Final[dict[JobState, tuple[int, str]]] = {
    JobState.CANCELLED: (13, "The batch was cancelled."),
    JobState.EXPIRED: (4, "The batch expired."),
}
"""Code and message of jobs that have no results; a cancelled job has 13 (native-lanes 2.3)."""
_CODES: Final = {"token_limit_exceeded": 8}


def file_object(file: StoredFile, base_url: str, *, is_pending: bool) -> dict[str, object]:
    """Return a file."""
    return {
        "name": file.id,
        "displayName": file.filename,
        "mimeType": file.purpose,
        "sizeBytes": str(file.size),
        "createTime": _time(file.created),
        "updateTime": _time(file.created),
        "expirationTime": _time(file.expires or file.created),
        "uri": f"{base_url}{VERSION}/{file.id}",
        "state": "PROCESSING" if is_pending else "ACTIVE",
        "source": "UPLOADED",
    }


def results_file(job: Job) -> str | None:
    """Return the name of the result file that a job shows; an expired one shows none (native-lanes 10.1)."""
    if not job.ended or job.results.output is None or job.state is JobState.EXPIRED or job.late_polls:
        return None
    return f"files/batch-{job.request.id.removeprefix('batches/')}"


def operation(job: Job) -> dict[str, object]:
    """Return a job as a long-running operation, with its results in both of their places."""
    output = results_file(job)
    shown: dict[str, object] = {"name": job.request.id, "metadata": _metadata(job, output)}
    if not job.ended:
        return shown
    shown["done"] = True
    if job.state is JobState.COMPLETED:
        response = {"@type": f"{_TYPE}{_kind(job)}Output"}
        shown["response"] = response if output is None else response | {"responsesFile": output}
    else:
        shown["error"] = _error(job)
    return shown


def _kind(job: Job) -> str:
    return "EmbedContentBatch" if job.request.endpoint == "embedContent" else "GenerateContentBatch"


def _metadata(job: Job, output: str | None) -> dict[str, object]:
    request = job.request
    state = _STATES[job.state]
    if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
        state = job.faults.unknown_status
    metadata: dict[str, object] = {
        "@type": f"{_TYPE}{_kind(job)}",
        "name": request.id,
        "model": f"models/{job.validation.model}" if job.validation is not None else None,
        "displayName": (request.metadata or {}).get("displayName", ""),
        "state": f"BATCH_STATE_{state}",
        "createTime": _time(request.created),
        "updateTime": _time(max(job.entered.values())),
        "inputConfig": {"fileName": request.input_file_id},
        "batchStats": _stats(job),
    }
    if job.ended:
        metadata["endTime"] = _time(job.entered[job.state])
    if output is not None:
        metadata["output"] = {"responsesFile": output}
    return metadata


def _stats(job: Job) -> dict[str, str] | None:
    """Return the counters as texts, without those that are zero."""
    if job.faults.counters == "null":
        return None
    total, succeeded, failed = len(job.log.rows), job.log.count("succeeded"), job.log.count("errored")
    if job.faults.counters == "too_many":
        succeeded = total + 1
    counts = {
        "requestCount": total,
        "successfulRequestCount": succeeded,
        "failedRequestCount": failed,
        "pendingRequestCount": max(0, total - succeeded - failed),
    }
    return {} if job.faults.counters == "zero" else {name: str(count) for name, count in counts.items() if count}


def _error(job: Job) -> dict[str, object]:
    if job.state in _ERRORS:
        code, message = _ERRORS[job.state]
        return {"code": code, "message": message}
    fault = job.errors[0]
    return {"code": _CODES.get(fault.code, 13), "message": fault.message}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def unknown(name: str) -> RefusedError:
    """Make the refusal of a name that the caller cannot see."""
    return RefusedError("not_found_error", f"Requested entity was not found: {name}.")
