"""Bedrock's model invocation jobs: create, get, list, stop; their objects are in `ObjectStorage` (native-lanes 2.6)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.simulator.batches.bedrock_rows import BEDROCK_FORM, copy_rows, validate_rows
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.object_storage import ObjectStorage
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld

BEDROCK: Final = "bedrock"
HOUR: Final = 3600.0
ARN: Final = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/"
STATES: Final = {
    JobState.VALIDATING: "Validating",
    JobState.IN_PROGRESS: "InProgress",
    JobState.FINALIZING: "InProgress",
    JobState.CANCELLING: "Stopping",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.EXPIRED: "PartiallyCompleted",
    JobState.CANCELLED: "Stopped",
}
EXCEPTIONS: Final[dict[ErrorKind, tuple[int, str]]] = {
    "authentication_error": (403, "UnrecognizedClientException"),
    "not_found_error": (404, "ResourceNotFoundException"),
    "rate_limit_error": (429, "ThrottlingException"),
    "conflict_error": (400, "ConflictException"),
    "api_error": (500, "InternalServerException"),
}


class S3Input(Struct, frozen=True):
    """Where the rows are."""

    s3Uri: Annotated[str, Meta(pattern="^s3://[^/]+/.+$")]  # noqa: N815 - the name on the wire
    s3InputFormat: str = "JSONL"  # noqa: N815 - the name on the wire


class InputConfig(Struct, frozen=True):
    """The place of the rows."""

    s3InputDataConfig: S3Input  # noqa: N815 - the name on the wire


class S3Output(Struct, frozen=True):
    """Where the results go."""

    s3Uri: Annotated[str, Meta(pattern="^s3://[^/]+/.*$")]  # noqa: N815 - the name on the wire


class OutputConfig(Struct, frozen=True):
    """The place of the results."""

    s3OutputDataConfig: S3Output  # noqa: N815 - the name on the wire


class CreateJob(Struct, frozen=True):
    """The body of a create."""

    jobName: Annotated[str, Meta(max_length=63, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9+.-]*$")]  # noqa: N815
    roleArn: Annotated[str, Meta(pattern="^arn:aws")]  # noqa: N815
    modelId: str  # noqa: N815
    inputDataConfig: InputConfig  # noqa: N815
    outputDataConfig: OutputConfig  # noqa: N815
    clientRequestToken: Annotated[str, Meta(max_length=256, pattern="^[a-zA-Z0-9-]+$")] = ""  # noqa: N815
    timeoutDurationInHours: Annotated[int, Meta(ge=24, le=168)] = 24  # noqa: N815
    modelInvocationType: str = "InvokeModel"  # noqa: N815


def bedrock_error(refusal: RefusedError, request_id: str) -> web.Response:
    """Return a refusal as an exception of Bedrock, whose name is in a header."""
    status, name = EXCEPTIONS.get(refusal.kind, (400, "ValidationException"))
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/", "x-amzn-requestid": request_id}
    return json_response({"message": refusal.message}, status, headers | refusal.headers)


class BedrockBatches:
    """The jobs."""

    def __init__(self, world: BatchWorld, storage: ObjectStorage) -> None:
        self._world = world
        self._storage = storage
        self._creates: dict[str, CreateJob] = {}
        self._decoder = msgspec.json.Decoder(CreateJob)
        world.on_end(BEDROCK, self._publish)

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job of an object; a repeated token gives the job that it made before."""
        create = await read_json(call.request, self._decoder)
        for job in self._world.jobs.newest_first(BEDROCK, call.owner, float("inf")):
            if create.clientRequestToken and create.clientRequestToken == self._create_of(job).clientRequestToken:
                return _created(job)
        refuse_create(self._world, BEDROCK)
        if self._world.settings.models is not None and create.modelId not in self._world.settings.models:
            raise RefusedError("invalid_request_error", "The provided model identifier is invalid.")
        source = self._storage.path(create.inputDataConfig.s3InputDataConfig.s3Uri)
        if source is None:
            raise RefusedError("invalid_request_error", "The input object does not exist.")
        rows = self._world.new_path("rows")
        await asyncio.to_thread(copy_rows, source, rows)
        return create_job(self._world, BEDROCK, call, partial(self._make, call, create, rows), _created)

    def _make(self, call: BatchCall, create: CreateJob, rows: Path, faults: BatchFaults) -> Job:
        job_id = self._world.new_token(12)
        request = JobRequest(
            id=ARN + job_id,
            provider=BEDROCK,
            owner=call.owner,
            input_path=rows,
            created=call.now,
            expires=call.now + HOUR * create.timeoutDurationInHours,
            metadata={"jobName": create.jobName},
        )
        self._creates[request.id] = create
        operation = "converse" if create.modelInvocationType == "Converse" else "invoke"
        wire = BodyWire(
            self._world.model,
            BEDROCK_FORM,
            lambda path: validate_rows(path, create.modelId, self._world.settings.min_rows),
            endpoint=f"/model/{quote(create.modelId, safe='')}/{operation}",
            rules=JobRules(one_result_file=True, reordered=True),
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a job."""
        job = self._existing(call)
        shown = json_response(self._object(job))
        if job.ended and job.late_polls:
            job.late_polls -= 1
            self._publish(job)
        return shown

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of jobs, newest first."""
        query = call.request.query
        size, start = int(query.get("maxResults", "100")), int(query.get("nextToken", "0"))
        part = query.get("nameContains", "")
        jobs = [
            job
            for job in self._world.jobs.newest_first(BEDROCK, call.owner, call.now)
            if part in self._create_of(job).jobName
        ]
        shown = [self._object(job) for job in jobs[start : start + size]]
        after = {"nextToken": str(start + size)} if start + size < len(jobs) else {}
        return json_response({"invocationJobSummaries": shown} | after)

    async def stop(self, call: BatchCall) -> web.StreamResponse:
        """Stop a job; one that has ended is a conflict."""
        job = self._existing(call)
        if job.ended:
            raise RefusedError("conflict_error", "The job has ended and cannot be stopped.")
        job.cancel(call.now)
        return json_response({})

    def _existing(self, call: BatchCall) -> Job:
        named = call.request.match_info["job"]
        job_id = ARN + named.rpartition("/")[2]
        job = self._world.jobs.find(BEDROCK, call.owner, job_id, call.now)
        if job is None:
            raise RefusedError("not_found_error", "The specified job is not found.")
        return job

    def _create_of(self, job: Job) -> CreateJob:
        return self._creates[job.request.id]

    def _publish(self, job: Job) -> None:
        """Write the results and the manifest, unless a fault delays them."""
        if job.late_polls or job.results.output is None:
            return
        create = self._create_of(job)
        folder = create.outputDataConfig.s3OutputDataConfig.s3Uri + job.request.id.rpartition("/")[2]
        name = create.inputDataConfig.s3InputDataConfig.s3Uri.rpartition("/")[2]
        manifest = self._world.new_path("manifest")
        manifest.write_bytes(
            msgspec.json.encode(
                _counts(job) | {"inputTokenCount": job.input_tokens, "outputTokenCount": job.output_tokens}
            )
        )
        self._storage.add(f"{folder}/{name}.out", job.results.output)
        self._storage.add(f"{folder}/manifest.json.out", manifest)

    def _object(self, job: Job) -> dict[str, Any]:
        create, request = self._create_of(job), job.request
        status = STATES[job.state]
        if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
            status = job.faults.unknown_status
        ended = {"endTime": _iso(job.entered[job.state])} if job.ended else {}
        failed = {"message": "; ".join(fault.message for fault in job.errors)} if job.errors else {}
        counts = {} if job.faults.counters == "null" else _counts(job)
        return {
            "jobArn": request.id,
            "jobName": create.jobName,
            "modelId": create.modelId,
            "clientRequestToken": create.clientRequestToken,
            "roleArn": create.roleArn,
            "status": status,
            "submitTime": _iso(request.created),
            "lastModifiedTime": _iso(job.entered[job.state]),
            "inputDataConfig": create.inputDataConfig,
            "outputDataConfig": create.outputDataConfig,
            "timeoutDurationInHours": create.timeoutDurationInHours,
            "jobExpirationTime": _iso(request.expires),
            "modelInvocationType": create.modelInvocationType,
            **ended,
            **failed,
            **counts,
        }


def _created(job: Job) -> web.Response:
    return json_response({"jobArn": job.request.id})


def _counts(job: Job) -> dict[str, int]:
    good, bad = job.log.count("succeeded"), job.log.count("errored")
    return {
        "totalRecordCount": len(job.log.rows),
        "processedRecordCount": good + bad,
        "successRecordCount": good,
        "errorRecordCount": bad,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
