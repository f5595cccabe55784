"""Fireworks' batch inference jobs: ids that the caller chooses, DELETE instead of a cancel (native-lanes 2.10)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct, field

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.fireworks_datasets import (
    ACCOUNT,
    FIREWORKS,
    Dataset,
    FireworksDatasets,
    rfc3339,
)
from batchgate.providers.simulator.batches.fireworks_rows import FIREWORKS_FORM, validate_rows
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld

DAY: Final = 86_400.0
STATES: Final = {
    JobState.VALIDATING: "VALIDATING",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "WRITING_RESULTS",
    JobState.CANCELLING: "DELETING_CLEANING_UP",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
}
RULES: Final = JobRules(reordered=True, error_file_always=True, cancelled_results=False)


class CreateJob(Struct, frozen=True):
    """The body of a create."""

    model: str
    input_dataset: str = field(name="inputDatasetId")


class FireworksJobs:
    """The jobs."""

    def __init__(self, world: BatchWorld, datasets: FireworksDatasets) -> None:
        self._world = world
        self._datasets = datasets
        self._creates = msgspec.json.Decoder(CreateJob)
        world.on_end(FIREWORKS, self._publish)

    def _publish(self, job: Job) -> None:
        """Store the output dataset of a job that has results."""
        if job.results.output is None and job.results.error is None:
            return
        named = {"BIJOutputSet.jsonl": job.results.output, "error-data": job.results.error}
        files = {name: path for name, path in named.items() if path is not None}
        ended = job.entered[job.state]
        self._datasets.add(job.request.owner, Dataset(id=_output(job), created=ended, uploaded=0.0, files=files))

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job of a dataset that is ready, under the id of the query."""
        refuse_create(self._world, FIREWORKS)
        create = await read_json(call.request, self._creates)
        job_id = call.request.query.get("batchInferenceJobId") or f"bij-{self._world.new_token(12)}"
        if self._world.jobs.find(FIREWORKS, call.owner, job_id, call.now) is not None:
            raise RefusedError("conflict_error", f"batch inference job {job_id} already exists")
        dataset = self._datasets.ready(call, create.input_dataset)
        make = partial(self._make, call, create, dataset, job_id)
        return create_job(self._world, FIREWORKS, call, make, lambda job: json_response(_object(job)))

    def _make(self, call: BatchCall, create: CreateJob, dataset: Dataset, job_id: str, faults: BatchFaults) -> Job:
        (path,) = dataset.files.values()
        request = JobRequest(
            id=job_id,
            provider=FIREWORKS,
            owner=call.owner,
            input_path=path,
            created=call.now,
            expires=call.now + DAY,
            input_file_id=dataset.id,
            metadata={"model": create.model, "examples": dataset.examples},
        )
        wire = BodyWire(
            self._world.model,
            FIREWORKS_FORM,
            lambda path: validate_rows(path, create.model),
            endpoint="/v1/chat/completions",
            job_model=create.model,
            rules=RULES,
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a job."""
        job = self._existing(call)
        response = json_response(_object(job))
        job.count_poll()
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of jobs, newest first."""
        query = call.request.query
        jobs = [
            job
            for job in self._world.jobs.newest_first(FIREWORKS, call.owner, call.now)
            if job.state is not JobState.CANCELLED
        ]
        start, size = int(query.get("pageToken") or 0), int(query.get("pageSize") or 50)
        token = str(start + size) if len(jobs) > start + size else ""
        page = [_object(job) for job in jobs[start : start + size]]
        return json_response({"batchInferenceJobs": page, "nextPageToken": token, "totalSize": len(jobs)})

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a job; one that runs is seen for some seconds more."""
        job = self._existing(call)
        if job.ended:
            self._world.jobs.remove(job)
        else:
            job.cancel(call.now)
        return json_response({})

    def _existing(self, call: BatchCall) -> Job:
        job = self._world.jobs.find(FIREWORKS, call.owner, call.request.match_info["job_id"], call.now)
        if job is None or job.state is JobState.CANCELLED:
            raise RefusedError("not_found_error", "resource not found")
        return job


def _output(job: Job) -> str:
    return f"bij-{job.request.id.removeprefix('bij-')}"


def _object(job: Job) -> dict[str, Any]:
    """Return a job; its output dataset is named from the beginning, whether it will exist or not."""
    request, metadata = job.request, job.request.metadata or {}
    state = STATES[job.state]
    if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
        state = job.faults.unknown_status.upper()
    status = {"code": "OK", "message": ""}
    if job.errors:
        status = {"code": job.errors[0].code, "message": job.errors[0].message}
    return {
        "name": f"{ACCOUNT}/batchInferenceJobs/{request.id}",
        "state": f"JOB_STATE_{state}",
        "status": status,
        "model": metadata["model"],
        "createTime": rfc3339(request.created),
        "updateTime": rfc3339(job.entered[job.state]),
        "expireTime": rfc3339(request.expires),
        "inputDatasetId": f"{ACCOUNT}/datasets/{request.input_file_id}",
        "outputDatasetId": None if job.late_polls else f"{ACCOUNT}/datasets/{_output(job)}",
        "inferenceParameters": {"extraBody": "{}"},
        "jobProgress": _progress(job, int(metadata["examples"])),
        "precision": "PRECISION_UNSPECIFIED",
    }


def _progress(job: Job, examples: int) -> dict[str, int] | None:
    """Return the counters; the total is what the creation of the dataset claimed."""
    good, bad = job.log.count("succeeded"), job.log.count("errored")
    match job.faults.counters:
        case "null":
            return None
        case "zero":
            examples = good = bad = 0
        case "too_many":
            good = examples + 1
    return {
        "percent": 100 * (good + bad) // max(1, len(job.log.rows)),
        "totalInputRequests": examples,
        "totalProcessedRequests": good + bad,
        "successfullyProcessedRequests": good,
        "failedRequests": bad,
        "outputRows": good,
        "inputTokens": job.input_tokens,
        "outputTokens": job.output_tokens,
    }
