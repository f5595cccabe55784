"""Together's batches: create, retrieve, list, cancel (native-lanes 2.9)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json, status_of
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.file_results import FileResults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.together_files import TOGETHER, TogetherFiles
from batchgate.providers.simulator.batches.together_rows import TOGETHER_FORM, validate_rows
from batchgate.providers.simulator.batches.wire import JobRules, LineFault
from batchgate.providers.simulator.batches.world import BatchWorld

DAY: Final = 86_400.0
ENDPOINT: Final = "/v1/chat/completions"
STATES: Final = {
    JobState.VALIDATING: "VALIDATING",
    JobState.IN_PROGRESS: "IN_PROGRESS",
    JobState.FINALIZING: "IN_PROGRESS",
    JobState.CANCELLING: "CANCELING",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
    JobState.CANCELLED: "CANCELLED",
}


class CreateBatch(Struct, frozen=True):
    """The body of a create."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    model_id: str | None = None
    priority: int | None = None


def together_error(refusal: RefusedError, request_id: str) -> web.Response:
    """Return a refusal in Together's form: the error is a text."""
    content = {"error": refusal.message, "request_id": request_id}
    return json_response(content, status_of(refusal), refusal.headers)


class TogetherBatches:
    """The batches API."""

    def __init__(self, world: BatchWorld, files: TogetherFiles) -> None:
        self._world = world
        self._files = files.files
        self._results = FileResults(world, TOGETHER, lambda _job, _kind: f"file-{UUID(world.new_token(32))}")
        self._decoder = msgspec.json.Decoder(CreateBatch)

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a batch; even the input file is looked for later only."""
        refuse_create(self._world, TOGETHER)
        create = await read_json(call.request, self._decoder)
        if create.endpoint != ENDPOINT:
            raise RefusedError("invalid_request_error", f"Unsupported endpoint {create.endpoint}")
        make = partial(self._make, call, create, self._files.find(call, create.input_file_id))
        return create_job(self._world, TOGETHER, call, make, lambda job: json_response({"job": self._object(job)}, 201))

    def _make(self, call: BatchCall, create: CreateBatch, file: StoredFile | None, faults: BatchFaults) -> Job:
        job_id = str(UUID(self._world.new_token(32)))
        missing = LineFault(code="", message=f"Failed to download input file: {create.input_file_id}: 404")
        request = JobRequest(
            id=job_id,
            provider=TOGETHER,
            owner=call.owner,
            input_path=self._world.new_path("no-input") if file is None else file.path,
            created=call.now,
            expires=call.now + DAY,
            input_file_id=create.input_file_id,
            endpoint=create.endpoint,
            bad_input=missing if file is None else None,
        )
        settings = self._world.settings
        wire = BodyWire(
            self._world.model,
            TOGETHER_FORM,
            lambda path: validate_rows(path, settings),
            endpoint=ENDPOINT,
            rules=JobRules(reordered=True),
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a batch."""
        job = self._existing(call)
        response = json_response(self._object(job))
        job.count_poll()
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return all batches, newest first."""
        jobs = self._world.jobs.newest_first(TOGETHER, call.owner, call.now)
        return json_response([self._object(job) for job in jobs])

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a batch; the call is refused for one that has ended."""
        job = self._existing(call)
        if job.ended:
            message = f"Cannot cancel job - already in terminal state: {STATES[job.state]}"
            raise RefusedError("conflict_error", message)
        job.cancel(call.now)
        return json_response(self._object(job))

    def _existing(self, call: BatchCall) -> Job:
        job = self._world.jobs.find(TOGETHER, call.owner, call.request.match_info["batch_id"], call.now)
        if job is None:
            raise RefusedError("not_found_error", "Job not found")
        return job

    def _object(self, job: Job) -> dict[str, Any]:
        """Return a batch, without the keys that have no value."""
        request, ids = job.request, self._results.shown(job)
        status = STATES[job.state]
        if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
            status = job.faults.unknown_status
        rows = len(job.log.rows)
        content = {
            "id": request.id,
            "status": status,
            "endpoint": request.endpoint,
            "input_file_id": request.input_file_id,
            "output_file_id": ids.output,
            "error_file_id": ids.error,
            "error": job.errors[0].message if job.errors else None,
            "progress": 100 * job.log.answered / rows if rows else 0,
            "file_size_bytes": 0,
            "job_deadline": _time(request.expires),
            "model_id": None if job.validation is None else job.validation.model,
            "created_at": _time(request.created),
            "completed_at": _time(job.entered[job.state]) if job.ended else None,
        }
        return {name: value for name, value in content.items() if value is not None}


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
