"""OpenRouter's batches: create, retrieve with the results, list, delete; none can be canceled (native-lanes 2.13)."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.body_rows import BodyWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_limit, status_of
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.downloads import send_results
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.openrouter_create import CreateBatch, read_create
from batchgate.providers.simulator.batches.openrouter_rows import OPENROUTER_FORM, validate_rows
from batchgate.providers.simulator.batches.wire import JobRules
from batchgate.providers.simulator.batches.world import BatchWorld

OPENROUTER: Final = "openrouter"
DAY: Final = 86_400.0


def openrouter_error(refusal: RefusedError, _request_id: str) -> web.Response:
    """Return a refusal in OpenRouter's form: its code is the status."""
    status = status_of(refusal)
    message = "User not found." if refusal.kind == "authentication_error" else refusal.message
    return json_response({"error": {"code": status, "message": message}}, status, refusal.headers)


class OpenRouterBatches:
    """The batches API."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Accept a batch; whether its rows can run is found later."""
        refuse_create(self._world, OPENROUTER)
        rows_path = self._world.new_path("rows.jsonl")
        create = await read_create(call, self._world, rows_path)
        make = partial(self._make, call, create, rows_path)
        return create_job(self._world, OPENROUTER, call, make, lambda job: json_response(_object(job), 202))

    def _make(self, call: BatchCall, create: CreateBatch, rows_path: Path, faults: BatchFaults) -> Job:
        job_id = f"batch_{self._world.new_token(24)}"
        request = JobRequest(
            id=job_id,
            provider=OPENROUTER,
            owner=call.owner,
            input_path=rows_path,
            created=call.now,
            expires=call.now + DAY,
            endpoint=create.endpoint,
            metadata={"model": create.model, "requests": str(len(create.custom_ids))},
        )
        settings = self._world.settings
        wire = BodyWire(
            self._world.model,
            OPENROUTER_FORM,
            lambda path: validate_rows(path, settings),
            endpoint=create.endpoint,
            job_model=create.model,
            rules=JobRules(one_result_file=True, reordered=True),
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a batch, with its results if it is completed."""
        job = self._existing(call)
        late = job.late_polls
        job.count_poll()
        if job.state is not JobState.COMPLETED or job.results.output is None or late:
            return json_response(_object(job))
        path = self._world.new_path("batch.json")
        await asyncio.to_thread(_write, path, _object(job), job.results.output)
        return await send_results(self._world, OPENROUTER, call.request, path, {"content-type": "application/json"})

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of batches without their results, newest first."""
        jobs = self._world.jobs.newest_first(OPENROUTER, call.owner, call.now)
        ids = [job.request.id for job in jobs]
        after, limit = call.request.query.get("after"), read_limit(call, 20, 100)
        start = ids.index(after) + 1 if after in ids else 0
        page = jobs[start : start + limit]
        return json_response(
            {
                "object": "list",
                "data": [_object(job) for job in page],
                "first_id": page[0].request.id if page else None,
                "last_id": page[-1].request.id if page else None,
                "has_more": len(jobs) > start + limit,
            }
        )

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a batch that has ended."""
        job = self._existing(call)
        if not job.ended:
            raise RefusedError("conflict_error", "Only ended batches can be deleted")
        self._world.jobs.remove(job)
        return json_response({"id": job.request.id, "object": "batch", "deletion": {"openrouter": "deleted"}})

    def _existing(self, call: BatchCall) -> Job:
        job_id = call.request.match_info["batch_id"]
        job = self._world.jobs.find(OPENROUTER, call.owner, job_id, call.now)
        if job is None:
            raise RefusedError("not_found_error", f"Batch {job_id} not found")
        return job


def _write(path: Path, content: dict[str, Any], results: Path) -> None:
    """Write a batch with its results."""
    head, tail = msgspec.json.encode(content | {"results": []})[:-2], b"]}"
    with path.open("wb") as file, results.open("rb") as lines:
        file.write(head)
        for number, line in enumerate(lines):
            file.write((b"," if number else b"") + line.rstrip())
        file.write(tail)


def _object(job: Job) -> dict[str, Any]:
    """Return a batch; ``results`` is its last field."""
    request = job.request
    status = job.state.value
    if job.state is JobState.IN_PROGRESS and job.faults.unknown_status is not None:
        status = job.faults.unknown_status
    return {
        "id": request.id,
        "object": "batch",
        "endpoint": request.endpoint,
        "model": (request.metadata or {})["model"],
        "provider": "Simulated",
        "status": status,
        "created_at": int(request.created),
        "expires_at": int(request.expires),
        "finalized_at": int(job.entered[job.state]) if job.ended else None,
        "completion_window": "24h",
        "request_counts": _counts(job),
        "error": _error(job),
        "usage": _usage(job),
        "results": None,
    }


def _error(job: Job) -> dict[str, str] | None:
    """Return why a batch failed, or that none of its requests succeeded."""
    if job.errors:
        return {"message": job.errors[0].message}
    failed = job.log.count("errored")
    if job.state is JobState.COMPLETED and failed == len(job.log.rows):
        return {"message": f"All {failed} request(s) in the batch failed upstream"}
    return None


def _counts(job: Job) -> dict[str, int] | None:
    total = int((job.request.metadata or {})["requests"])
    good, bad = job.log.count("succeeded"), total if job.errors else job.log.count("errored")
    match job.faults.counters:
        case "null":
            return None
        case "zero":
            total = good = bad = 0
        case "too_many":
            good = total + 1
    return {"total": total, "completed": good, "failed": bad}


def _usage(job: Job) -> dict[str, object] | None:
    """Return the tokens and the price, which the batch alone has."""
    if not job.ended:
        return None
    return {
        "prompt_tokens": job.input_tokens,
        "completion_tokens": job.output_tokens,
        "total_tokens": job.input_tokens + job.output_tokens,
        "cost": (job.input_tokens + job.output_tokens) / 2_000_000,
        "is_byok": False,
    }
