"""The JSON of files and batches of the OpenAI-shaped APIs (native-lanes 2.1, batch-apis 4.2, 4.3)."""

from __future__ import annotations

from batchgate.providers.simulator.batches.file_results import ResultIds
from batchgate.providers.simulator.batches.job import Job, JobState
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.wire import LineFault


def file_object(file: StoredFile, status: str) -> dict[str, object]:
    """Return a file."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "expires_at": None if file.expires is None else int(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": status,
        "status_details": None,
    }


def batch_object(job: Job, provider: OpenAIProvider, ids: ResultIds) -> dict[str, object]:
    """Return a batch."""
    request, known = job.request, job.validation is not None or not provider.late_counts
    return {
        "id": request.id,
        "object": "batch",
        "endpoint": request.endpoint.removeprefix("/v1") if provider.endpoint_without_v1 else request.endpoint,
        "model": None if job.validation is None else job.validation.model,
        "errors": _errors(job),
        "input_file_id": request.input_file_id,
        "completion_window": request.completion_window,
        "status": _status(job),
        "output_file_id": ids.output,
        "error_file_id": ids.error,
        "created_at": int(request.created),
        **_times(job, provider),
        "request_counts": _counts(job) if known else None,
        "usage": _usage(job) if known else None,
        "metadata": request.metadata,
    }


def _status(job: Job) -> str:
    if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
        return job.faults.unknown_status
    return job.state.value


def _times(job: Job, provider: OpenAIProvider) -> dict[str, int | None]:
    states = [state for state in JobState if state is not JobState.VALIDATING]
    times: dict[str, int | None] = {f"{state}_at": None for state in states}
    times |= {f"{state}_at": int(moment) for state, moment in job.entered.items() if state in states}
    times["expires_at"] = int(job.request.expires) if provider.shows_expiry else None
    if job.state is JobState.COMPLETED:  # a cancellation that came too late leaves no trace but cancelling_at
        times["cancelled_at"] = None
    return times


def _errors(job: Job) -> object:
    if not job.errors:
        return None
    data = [_error(fault, job.faults.shift_line_numbers) for fault in job.errors]
    return data if job.faults.plain_errors else {"object": "list", "data": data}


def _error(fault: LineFault, shift: int) -> dict[str, object]:
    line = None if fault.line is None else fault.line + shift
    return {"code": fault.code, "message": fault.message, "param": fault.param, "line": line}


def _counts(job: Job) -> dict[str, int] | None:
    """Return the counters: zeros before the validation, without cancelled and expired rows afterwards."""
    if job.faults.counters == "null":
        return None
    total, completed, failed = len(job.log.rows), job.log.count("succeeded"), job.log.count("errored")
    if job.faults.counters == "zero":
        total = completed = failed = 0
    elif job.faults.counters == "too_many":
        completed = total + 1
    if job.state is JobState.CANCELLED and job.faults.cancellation == "loses_results":
        completed = 0  # the counters go back (native-lanes 0 trap 2)
    return {"total": total, "completed": completed, "failed": failed}


def _usage(job: Job) -> dict[str, object]:
    return {
        "input_tokens": job.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": job.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": job.input_tokens + job.output_tokens,
    }
