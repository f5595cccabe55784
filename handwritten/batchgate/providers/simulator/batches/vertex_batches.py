"""Vertex AI's batch prediction jobs; their objects are in `ObjectStorage` (native-lanes 2.4, more-dialects 1.9)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct, structs

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, Handler, guarded, json_response, read_json
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.gemini_pages import page_of
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.object_storage import ObjectStorage
from batchgate.providers.simulator.batches.vertex_rows import VERTEX_FORM, copy_rows, validate_rows
from batchgate.providers.simulator.batches.wire import JobRules, LineFault
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.gemini_dialects import rpc_error

VERTEX: Final = "vertex"
DAY: Final = 24 * 3600.0
_JOBS: Final = "/{version:v1(?:beta1)?}/projects/{project}/locations/{location}/batchPredictionJobs"
_MODEL: Final = re.compile(r"publishers/(google|anthropic)/models/[^/]+")
_BUCKET: Final = "9"
_CODES: Final = {"token_limit_exceeded": 8}
_INTERNAL: Final = 13
_STATES: Final = {
    JobState.VALIDATING: "PENDING",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "RUNNING",
    JobState.CANCELLING: "CANCELLING",
    JobState.COMPLETED: "SUCCEEDED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
    JobState.CANCELLED: "CANCELLED",
}


class GcsSource(Struct, frozen=True):
    """Where the rows are."""

    uris: Annotated[list[Annotated[str, Meta(pattern="^gs://[^/]+/.+$")]], Meta(min_length=1, max_length=1)]


class InputConfig(Struct, frozen=True):
    """The place of the rows."""

    gcsSource: GcsSource  # noqa: N815 - the name on the wire
    instancesFormat: str  # noqa: N815 - the name on the wire


class GcsDestination(Struct, frozen=True):
    """Where the results go."""

    outputUriPrefix: Annotated[str, Meta(pattern="^gs://[^/]+/.+$")]  # noqa: N815 - the name on the wire


class OutputConfig(Struct, frozen=True):
    """The place of the results."""

    gcsDestination: GcsDestination  # noqa: N815 - the name on the wire
    predictionsFormat: str  # noqa: N815 - the name on the wire


class CreateJob(Struct, frozen=True):
    """The body of a create."""

    displayName: Annotated[str, Meta(min_length=1, max_length=128)]  # noqa: N815 - the name on the wire
    model: str
    inputConfig: InputConfig  # noqa: N815 - the name on the wire
    outputConfig: OutputConfig  # noqa: N815 - the name on the wire


_CREATE: Final = msgspec.json.Decoder(CreateJob)


def vertex_routes(world: BatchWorld) -> list[web.RouteDef]:
    """Return the routes of the jobs and of the buckets."""
    storage = ObjectStorage(world, VERTEX, "gs")
    jobs = VertexBatches(world, storage)
    routes: list[tuple[str, str, Handler]] = [
        ("POST", "", jobs.create),
        ("GET", "", jobs.page),
        ("POST", "/{job:[^/:]+}:cancel", jobs.cancel),
        ("GET", "/{job}", jobs.retrieve),
        ("DELETE", "/{job}", jobs.delete),
    ]
    of_jobs = [
        web.route(method, f"/{VERTEX}{_JOBS}{path}", _guarded(world, handler)) for method, path, handler in routes
    ]
    return [*storage.routes(f"/{VERTEX}/gcs"), *of_jobs]


def _guarded(world: BatchWorld, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def of_project(call: BatchCall) -> web.StreamResponse:
        """Call the handler for the project: its jobs do not belong to a token."""
        return await handler(structs.replace(call, owner=_parent(call)))

    return guarded(world, VERTEX, of_project, _error)


def _parent(call: BatchCall) -> str:
    places = call.request.match_info
    return f"projects/{places['project']}/locations/{places['location']}"


def _error(refusal: RefusedError, _request_id: str) -> web.Response:
    status, body = rpc_error(refusal, of_vertex=True)
    return web.Response(status=status, body=body, content_type="application/json")


class VertexBatches:
    """The jobs."""

    def __init__(self, world: BatchWorld, storage: ObjectStorage) -> None:
        self._world = world
        self._storage = storage
        self._creates: dict[str, CreateJob] = {}
        world.on_end(VERTEX, self._publish)

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job of an object; a job without one fails later."""
        create = await read_json(call.request, _CREATE)
        refuse_create(self._world, VERTEX)
        name = create.model.rpartition("/")[2]
        exists = self._world.settings.models is None or name in self._world.settings.models
        if not (_MODEL.fullmatch(create.model) and exists):
            raise RefusedError("not_found_error", f"The PublisherModel {create.model} does not exist.")
        if "/anthropic/" in create.model and call.request.match_info["location"] == "global":
            raise RefusedError("invalid_request_error", "The model has no batch predictions in this location.")
        source = self._storage.path(create.inputConfig.gcsSource.uris[0])
        rows = self._world.new_path("rows")
        if source is not None:
            await asyncio.to_thread(copy_rows, source, rows)
        make = partial(self._make, call, create, rows, is_missing=source is None)
        return create_job(self._world, VERTEX, call, make, lambda job: json_response(self._object(job)))

    def _make(self, call: BatchCall, create: CreateJob, rows: Path, faults: BatchFaults, *, is_missing: bool) -> Job:
        number = str(int(self._world.new_token(15), 16))
        request = JobRequest(
            id=f"{call.owner}/batchPredictionJobs/{number}",
            provider=VERTEX,
            owner=call.owner,
            input_path=rows,
            created=call.now,
            expires=call.now + DAY,
            metadata={"displayName": create.displayName},
            bad_input=LineFault(code=_BUCKET, message="Failed to get GCS bucket location.") if is_missing else None,
        )
        self._creates[request.id] = create
        of_google = create.model.startswith("publishers/google/")
        method = "generateContent" if of_google else "rawPredict"
        wire = BodyWire(
            self._world.model,
            VERTEX_FORM,
            lambda path: validate_rows(path, create.model, as_table=of_google),
            endpoint=f"/v1/{call.owner}/{create.model}:{method}",
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
        """Return a page of jobs, newest first; the filter names a display name."""
        text = call.request.query.get("filter", "")
        found = re.fullmatch(r'displayName="([^"]*)"', text)
        if text and found is None:
            raise RefusedError("invalid_request_error", "The filter is invalid.")
        jobs = [
            job
            for job in self._world.jobs.newest_first(VERTEX, call.owner, call.now)
            if found is None or self._creates[job.request.id].displayName == found[1]
        ]
        shown, token = page_of(call, jobs)
        page: dict[str, object] = {"batchPredictionJobs": [self._object(job) for job in shown]} if shown else {}
        return json_response(page | ({"nextPageToken": token} if token else {}))

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a job; one that has ended is refused."""
        job = self._existing(call)
        if job.ended:
            raise RefusedError("invalid_request_error", "The job is in a final state.")
        job.cancel(call.now)
        return json_response({})

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a job that has ended; its objects stay."""
        job = self._existing(call)
        if not job.ended:
            raise RefusedError("invalid_request_error", "The job is not in a final state.")
        self._world.jobs.remove(job)
        return json_response({"name": f"{job.request.id}/operations/1", "done": True, "response": {}})

    def _existing(self, call: BatchCall) -> Job:
        name = f"{call.owner}/batchPredictionJobs/{call.request.match_info['job']}"
        job = self._world.jobs.find(VERTEX, call.owner, name, call.now)
        if job is None:
            raise RefusedError("not_found_error", f"The BatchPredictionJob {name!r} does not exist.")
        return job

    def _publish(self, job: Job) -> None:
        """Write the results, unless a fault delays them."""
        if not job.late_polls and job.results.output is not None:
            self._storage.add(f"{self._folder(job)}/predictions.jsonl", job.results.output)

    def _folder(self, job: Job) -> str:
        """Return the folder of the results, which has the time of the creation in its name."""
        prefix = self._creates[job.request.id].outputConfig.gcsDestination.outputUriPrefix.rstrip("/")
        return f"{prefix}/prediction-model-{_iso(job.request.created)}"

    def _object(self, job: Job) -> dict[str, Any]:
        create, request = self._creates[job.request.id], job.request
        state = f"JOB_STATE_{_STATES[job.state]}"
        if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
            state = job.faults.unknown_status
        ended: dict[str, Any] = {"endTime": _iso(job.entered[job.state])} if job.ended else {}
        if job.ended and job.state is not JobState.CANCELLED and job.faults.counters != "null":
            ended["completionStats"] = _stats(job)
        if job.ended:
            ended["outputInfo"] = {"gcsOutputDirectory": self._folder(job)}
        return {
            "name": request.id,
            "displayName": create.displayName,
            "model": create.model,
            "inputConfig": create.inputConfig,
            "outputConfig": create.outputConfig,
            "state": state,
            "createTime": _iso(request.created),
            "updateTime": _iso(job.entered[job.state]),
            **ended,
            **_fault(job),
        }


def _stats(job: Job) -> dict[str, str]:
    good, bad = job.log.count("succeeded"), job.log.count("errored")
    return {"successfulCount": str(good), "failedCount": str(bad), "incompleteCount": "-1"}


def _fault(job: Job) -> dict[str, Any]:
    """Return the error of a job, with a code of google.rpc."""
    if job.state is JobState.CANCELLED:
        return {"error": {"code": 1, "message": "CANCELED"}}
    if not job.errors:
        return {}
    fault = job.errors[0]
    code = int(fault.code) if fault.code.isdigit() else _CODES.get(fault.code, _INTERNAL)
    return {"error": {"code": code, "message": fault.message}}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
