"""Cohere's batches: create, retrieve, list, cancel; the results are a dataset of Avro (native-lanes 2.12)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.cohere_datasets import COHERE, CohereDatasets, Dataset, rfc3339
from batchgate.providers.simulator.batches.cohere_rows import COHERE_FORM, ENDPOINTS, validate_rows
from batchgate.providers.simulator.batches.cohere_schemas import SCHEMAS, write_avro
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld

DAY: Final = 86_400.0
STATES: Final = {
    JobState.VALIDATING: "QUEUED",
    JobState.IN_PROGRESS: "IN_PROGRESS",
    JobState.FINALIZING: "IN_PROGRESS",
    JobState.CANCELLING: "CANCELING",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "FAILED",
    JobState.CANCELLED: "CANCELED",
}
RULES: Final = JobRules(one_result_file=True, reordered=True)
_MAX_PAGE: Final = 1000


class CreateBatch(Struct, frozen=True):
    """The body of a create; other fields are ignored."""

    name: str
    input_dataset_id: str
    model: str


class CohereBatches:
    """The batches."""

    def __init__(self, world: BatchWorld, datasets: CohereDatasets) -> None:
        self._world = world
        self._datasets = datasets
        self._outputs: dict[str, str] = {}
        """The output dataset of each job that has ended with results."""
        self._creates = msgspec.json.Decoder(CreateBatch)
        world.on_end(COHERE, self._publish)

    def _publish(self, job: Job) -> None:
        """Store the output dataset of a job that has results."""
        if job.results.output is None:
            return
        name, kind, ended = f"{_name(job)}-output", _kind(job), job.entered[job.state]
        path = self._world.new_path("part.avro")
        dataset = Dataset(
            id=f"{name}-{self._world.new_token(6)}",
            name=name,
            kind=kind,
            created=ended,
            validated_at=ended,
            path=path,
            rows=write_avro(job.results.output, path, SCHEMAS[kind]),
            is_output=True,
        )
        self._datasets.add(job.request.owner, dataset)
        self._outputs[job.request.id] = dataset.id

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job of a validated dataset."""
        refuse_create(self._world, COHERE)
        create = await read_json(call.request, self._creates)
        dataset = self._datasets.find(call.owner, create.input_dataset_id)
        models = self._world.settings.models
        if dataset is None:
            raise RefusedError("not_found_error", "dataset not found")
        if dataset.status(call.now) != "validated":
            raise RefusedError("invalid_request_error", f"dataset {dataset.id} is not validated")
        if models is not None and create.model not in models:
            raise RefusedError("invalid_request_error", f"model {create.model} does not support batches")
        return create_job(self._world, COHERE, call, partial(self._make, call, create, dataset), self._shown)

    def _make(self, call: BatchCall, create: CreateBatch, dataset: Dataset, faults: BatchFaults) -> Job:
        endpoint = ENDPOINTS[dataset.kind]
        request = JobRequest(
            id=str(UUID(self._world.new_token(32))),
            provider=COHERE,
            owner=call.owner,
            input_path=dataset.path,
            created=call.now,
            expires=call.now + DAY,
            input_file_id=dataset.id,
            endpoint=endpoint,
            metadata={"name": create.name, "model": create.model, "kind": dataset.kind},
        )
        wire = BodyWire(
            self._world.model,
            COHERE_FORM,
            lambda path: validate_rows(path, create.model),
            endpoint=endpoint,
            job_model=create.model,
            rules=RULES,
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a job."""
        job = self._existing(call)
        response = self._shown(job)
        job.count_poll()
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of jobs, oldest first."""
        query = call.request.query
        start, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 50), _MAX_PAGE)
        jobs = self._world.jobs.newest_first(COHERE, call.owner, call.now)[::-1]
        token = str(start + size) if len(jobs) > start + size else ""
        return json_response(
            {"batches": [self._object(job) for job in jobs[start : start + size]], "next_page_token": token}
        )

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a job that waits or runs."""
        job = self._existing(call)
        if job.ended or job.state is JobState.CANCELLING:
            raise RefusedError("invalid_request_error", f"batch is {STATES[job.state]} and cannot be canceled")
        job.cancel(call.now)
        return json_response({})

    def _existing(self, call: BatchCall) -> Job:
        job = self._world.jobs.find(COHERE, call.owner, call.request.match_info["batch_id"], call.now)
        if job is None:
            raise RefusedError("not_found_error", "batch not found")
        return job

    def _shown(self, job: Job) -> web.Response:
        return json_response({"batch": self._object(job)})

    def _object(self, job: Job) -> dict[str, Any]:
        request, metadata = job.request, job.request.metadata or {}
        state = STATES[job.state]
        if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
            state = job.faults.unknown_status.upper()
        output = "" if job.late_polls else self._outputs.get(request.id, "")
        return {
            "id": request.id,
            "name": _name(job),
            "creator_id": "simulated-user",
            "org_id": "simulated-organization",
            "status": f"BATCH_STATUS_{state}",
            "created_at": rfc3339(request.created),
            "updated_at": rfc3339(job.entered[job.state]),
            "input_dataset_id": request.input_file_id,
            "output_dataset_id": output,
            "input_tokens": str(job.input_tokens),
            "output_tokens": str(job.output_tokens),
            "model": metadata["model"],
            "status_reason": _reason(job),
            **_counts(job),
        }


def _name(job: Job) -> str:
    return (job.request.metadata or {})["name"]


def _kind(job: Job) -> str:
    return (job.request.metadata or {})["kind"]


def _reason(job: Job) -> str:
    if job.state is JobState.EXPIRED:
        return "the batch took too long"
    return job.errors[0].message if job.errors else ""


def _counts(job: Job) -> dict[str, int | None]:
    good, bad, total = job.log.count("succeeded"), job.log.count("errored"), len(job.log.rows)
    names = ("num_records", "num_successful_records", "num_failed_records")
    match job.faults.counters:
        case "null":
            return dict.fromkeys(names)
        case "zero":
            return dict.fromkeys(names, 0)
        case "too_many":
            good = total + 1
    return dict(zip(names, (total, good, bad), strict=True))
