"""xAI's batches from a file: create, retrieve, list, cancel, pages of results (native-lanes 2.11)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json, read_limit, status_of
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.downloads import send_results
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.batches.xai_files import XAI, XAIFiles
from batchgate.providers.simulator.batches.xai_rows import XAI_FORM, validate_rows

DAY: Final = 86_400.0


class CreateBatch(Struct, frozen=True):
    """The body of a create."""

    name: str
    input_file_id: str


class _Line(Struct):
    batch_request_id: str = ""


def xai_error(refusal: RefusedError, _request_id: str) -> web.Response:
    """Return a refusal in xAI's form; that of a wrong key has the status 400."""
    if refusal.kind == "authentication_error":
        content = {"code": "Client specified an invalid argument", "error": "Incorrect API key provided."}
        return json_response(content, 400)
    content = {"code": refusal.code or "Some requested entity was not found", "error": refusal.message}
    return json_response(content, status_of(refusal), refusal.headers)


class XAIBatches:
    """The batches API."""

    def __init__(self, world: BatchWorld, files: XAIFiles) -> None:
        self._world = world
        self._files = files.files
        self._creates = msgspec.json.Decoder(CreateBatch)
        self._lines = msgspec.json.Decoder(_Line)

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a batch of a file, which is validated later."""
        refuse_create(self._world, XAI)
        create = await read_json(call.request, self._creates)
        file = self._files.find(call, create.input_file_id)
        if file is None:
            raise RefusedError("not_found_error", f"File {create.input_file_id} not found")
        return create_job(self._world, XAI, call, partial(self._make, call, create, file), self._shown)

    def _make(self, call: BatchCall, create: CreateBatch, file: StoredFile, faults: BatchFaults) -> Job:
        job_id = f"batch_{self._world.new_token(32)}"
        request = JobRequest(
            id=job_id,
            provider=XAI,
            owner=call.owner,
            input_path=file.path,
            created=call.now,
            expires=call.now + 30 * DAY,
            input_file_id=file.id,
            metadata={"name": create.name},
        )
        settings = self._world.settings
        wire = BodyWire(
            self._world.model,
            XAI_FORM,
            lambda path: validate_rows(path, settings),
            endpoint="/v1/chat/completions",
            rules=JobRules(one_result_file=True),
        )
        return self._world.new_job(request, wire, faults)

    async def add(self, call: BatchCall) -> web.StreamResponse:
        """Refuse to add requests: a batch from a file is sealed."""
        job = self._existing(call)
        if job.ended:
            raise RefusedError("permission_error", f"Batch {job.request.id} has ended")
        raise RefusedError("conflict_error", "Cannot add inline requests to a file-based batch", status=412)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a batch."""
        return self._shown(self._existing(call))

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of batches."""
        jobs = self._world.jobs.newest_first(XAI, call.owner, call.now)
        start, limit = _start(call), read_limit(call, 100, 1000)
        batches = [_object(job) for job in jobs[start : start + limit]]
        return json_response({"batches": batches, "pagination_token": _next(start + limit, len(jobs))})

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a batch."""
        job = self._existing(call)
        job.cancel(call.now)
        return self._shown(job)

    async def results(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of the results that there are, sorted by their ids."""
        job = self._existing(call)
        start, limit = _start(call), read_limit(call, 100, 1000)
        lines = await asyncio.to_thread(self._sorted_lines, job)
        page = b",".join(line.rstrip() for line in lines[start : start + limit])
        token = msgspec.json.encode(_next(start + limit, len(lines)))
        path = self._world.new_path("page.json")
        await asyncio.to_thread(path.write_bytes, b'{"results":[%s],"pagination_token":%s}' % (page, token))
        return await send_results(self._world, XAI, call.request, path, {"content-type": "application/json"})

    def _sorted_lines(self, job: Job) -> list[bytes]:
        """Return the results of an ended batch as its faults left them, or those that a running one has."""
        if job.results.output is not None:
            lines = job.results.output.read_bytes().splitlines()
        else:
            lines = [line for _, line in job.log.lines(range(job.log.answered))]
        return sorted(lines, key=lambda line: self._lines.decode(line).batch_request_id)

    def _existing(self, call: BatchCall) -> Job:
        job_id = call.request.match_info["batch_id"]
        job = self._world.jobs.find(XAI, call.owner, job_id, call.now)
        if job is None:
            raise RefusedError("not_found_error", f"Batch {job_id} not found")
        return job

    def _shown(self, job: Job) -> web.Response:
        return json_response(_object(job))


def _object(job: Job) -> dict[str, Any]:
    """Return a batch; it has no state but its counters, and times that are dates."""
    request = job.request
    canceled = job.entered.get(JobState.CANCELLING) or (job.entered[job.state] if job.errors else None)
    return {
        "batch_id": request.id,
        "name": (request.metadata or {})["name"],
        "create_time": _date(request.created),
        "expire_time": _date(request.expires),
        "create_api_key_id": "key_simulated",
        "cancel_time": None if canceled is None else _date(canceled),
        "cancel_by_xai_message": job.errors[0].message if job.errors else None,
        "state": _counts(job),
        "input_file_id": request.input_file_id,
    }


def _counts(job: Job) -> dict[str, int | None]:
    """Return the counters: zeros until the file is read.

    A row that did not run counts as canceled right after the cancel, and as succeeded if it runs nevertheless.
    """
    names = ("num_requests", "num_pending", "num_success", "num_error", "num_cancelled")
    total, good, bad = len(job.log.rows), job.log.count("succeeded"), job.log.count("errored")
    rest = total - good - bad
    stopped = job.state in {JobState.CANCELLING, JobState.CANCELLED, JobState.EXPIRED}
    match job.faults.counters:
        case "null":
            return dict.fromkeys(names)
        case "zero":
            return dict.fromkeys(names, 0)
        case "too_many":
            good = total + 1
    counts = (total, 0 if stopped else rest, good, bad, rest if stopped else 0)
    return dict(zip(names, counts, strict=True))


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _start(call: BatchCall) -> int:
    """Return where a page begins; the token of a page is the number of the elements before it."""
    return int(call.request.query.get("pagination_token") or 0)


def _next(end: int, length: int) -> str | None:
    return str(end) if end < length else None
