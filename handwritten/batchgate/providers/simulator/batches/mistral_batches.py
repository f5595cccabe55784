"""Mistral's batch jobs: create, retrieve, list, cancel, delete (native-lanes 2.7)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.file_results import FileResults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.mistral_files import MISTRAL, MistralFiles, new_uuid
from batchgate.providers.simulator.batches.mistral_rows import MISTRAL_FORM, validate_rows
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld

HOUR: Final = 3600.0
ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/embeddings"})
STATES: Final = {
    JobState.VALIDATING: "QUEUED",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "RUNNING",
    JobState.CANCELLING: "CANCELLATION_REQUESTED",
    JobState.COMPLETED: "SUCCESS",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "TIMEOUT_EXCEEDED",
    JobState.CANCELLED: "CANCELLED",
}


class CreateJob(Struct, frozen=True):
    """The body of a create."""

    input_files: Annotated[list[str], Meta(min_length=1)]
    endpoint: str
    model: str | None = None
    metadata: dict[str, str] | None = None
    timeout_hours: Annotated[int, Meta(ge=1, le=168)] = 24


class MistralBatches:
    """The batch jobs."""

    def __init__(self, world: BatchWorld, files: MistralFiles) -> None:
        self._world = world
        self._files = files.files
        self._results = FileResults(world, MISTRAL, lambda _job, _kind: new_uuid(world))
        self._decoder = msgspec.json.Decoder(CreateJob)

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job of a file whose lines were checked when it was uploaded."""
        refuse_create(self._world, MISTRAL)
        create = await self._read(call)
        file = self._input_file(call, create.input_files[0])
        return create_job(self._world, MISTRAL, call, partial(self._make, call, create, file), self._shown)

    async def _read(self, call: BatchCall) -> CreateJob:
        try:
            create = await read_json(call.request, self._decoder)
        except RefusedError as refusal:
            raise _unprocessable(refusal.message) from refusal
        if create.endpoint not in ENDPOINTS:
            raise _unprocessable(f"endpoint: {create.endpoint!r} is not supported")
        models = self._world.settings.models
        if create.model is None or (models is not None and create.model not in models):
            raise _unprocessable("You do not have access to the model")
        return create

    def _input_file(self, call: BatchCall, file_id: str) -> StoredFile:
        try:
            UUID(file_id)
        except ValueError as error:
            raise _unprocessable(f"input_files: {file_id!r} is not a UUID") from error
        file = self._files.find(call, file_id)
        if file is None:
            raise RefusedError("not_found_error", f"File {file_id} not found")
        return file

    def _make(self, call: BatchCall, create: CreateJob, file: StoredFile, faults: BatchFaults) -> Job:
        job_id = new_uuid(self._world)
        request = JobRequest(
            id=job_id,
            provider=MISTRAL,
            owner=call.owner,
            input_path=file.path,
            created=call.now,
            expires=call.now + HOUR * create.timeout_hours,
            input_file_id=file.id,
            endpoint=create.endpoint,
            metadata=create.metadata,
        )
        wire = BodyWire(
            self._world.model,
            MISTRAL_FORM,
            lambda path: validate_rows(path, create.model),
            endpoint=create.endpoint,
            job_model=create.model,
            rules=JobRules(reordered=True),
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a job."""
        job = self._existing(call)
        response = self._shown(job)
        job.count_poll()
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of jobs, newest first."""
        query = call.request.query
        number, size = int(query.get("page", "0")), int(query.get("page_size", "100"))
        jobs = self._world.jobs.newest_first(MISTRAL, call.owner, call.now)
        if query.get("order_by") == "created":
            jobs.reverse()
        data = [self._object(job) for job in jobs[number * size : (number + 1) * size]]
        return json_response({"data": data, "object": "list", "total": len(jobs)})

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a job."""
        job = self._existing(call)
        job.cancel(call.now)
        return self._shown(job)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a job."""
        job = self._existing(call)
        self._world.jobs.remove(job)
        return json_response({"id": job.request.id, "object": "batch", "deleted": True})

    def _existing(self, call: BatchCall) -> Job:
        job_id = call.request.match_info["job_id"]
        job = self._world.jobs.find(MISTRAL, call.owner, job_id, call.now)
        if job is None:
            raise RefusedError("not_found_error", f"Job {job_id} not found")
        return job

    def _shown(self, job: Job) -> web.Response:
        return json_response(self._object(job))

    def _object(self, job: Job) -> dict[str, Any]:
        request, ids = job.request, self._results.shown(job)
        status = STATES[job.state]
        if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
            status = job.faults.unknown_status
        return {
            "id": request.id,
            "object": "batch",
            "input_files": [request.input_file_id],
            "metadata": request.metadata,
            "endpoint": request.endpoint,
            "model": None if job.validation is None else job.validation.model,
            "agent_id": None,
            "output_file": ids.output,
            "error_file": ids.error,
            "errors": _errors(job),
            "outputs": None,
            "status": status,
            "created_at": int(request.created),
            "started_at": int(request.created),
            "completed_at": int(job.entered[job.state]) if job.ended else None,
            **_counts(job),
        }


def _errors(job: Job) -> list[dict[str, object]]:
    """Return the reasons of a failed job, or how many rows have an error."""
    failed = job.log.count("errored")
    rows = [{"message": "HTTP Error, status code: 400", "count": failed}] if failed else []
    return [{"message": fault.message, "count": 1} for fault in job.errors] or rows


def _counts(job: Job) -> dict[str, int | None]:
    """Return the counters: zeros while the job is queued (native-lanes 0.9)."""
    good, bad, total = job.log.count("succeeded"), job.log.count("errored"), len(job.log.rows)
    names = ("total_requests", "completed_requests", "succeeded_requests", "failed_requests")
    match job.faults.counters:
        case "null":
            return dict.fromkeys(names)
        case "zero":
            return dict.fromkeys(names, 0)
        case "too_many":
            good = total + 1
    return dict(zip(names, (total, good + bad, good, bad), strict=True))


def _unprocessable(message: str) -> RefusedError:
    return RefusedError("invalid_request_error", message, status=422)
