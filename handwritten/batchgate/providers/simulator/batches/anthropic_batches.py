"""Anthropic's Message Batches API: create, retrieve, list, cancel, delete, results (native-lanes 2.5, batch-apis 1)."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from msgspec import structs

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.anthropic_create import read_create
from batchgate.providers.simulator.batches.anthropic_objects import batch_object, has_results
from batchgate.providers.simulator.batches.anthropic_rows import AnthropicWire
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_limit
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.downloads import send_results
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job, JobRequest
from batchgate.providers.simulator.batches.world import BatchWorld

ANTHROPIC: Final = "anthropic"
DAY: Final = 86_400.0
POLL_AFTER: Final = "10"
"""The Retry-After of a batch that still runs, which the real API sends with status 200."""


class AnthropicBatches:
    """The Message Batches API."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a batch; its ids are checked at once, its params row by row later."""
        refuse_create(self._world, ANTHROPIC)
        rows_path = self._world.new_path("rows.jsonl")
        custom_ids = await read_create(call, self._world, rows_path)

        def make(faults: BatchFaults) -> Job:
            job_id = f"msgbatch_01{self._world.new_token(22)}"
            request = JobRequest(
                id=job_id,
                provider=ANTHROPIC,
                owner=call.owner,
                input_path=rows_path,
                created=call.now,
                expires=call.now + DAY,
            )
            settings = structs.replace(self._world.settings, validating=0, finalizing=0, enqueued_tokens=None)
            job = self._world.new_job(
                request,
                AnthropicWire(custom_ids, self._world.model, settings),
                structs.replace(faults, fail_with=None, fail_at=None, stall_in_validation=False),
                settings,
            )
            job.take_rows()
            return job

        return create_job(self._world, ANTHROPIC, call, make, lambda job: self._shown(call, job))

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a batch."""
        job = self._existing(call)
        response = self._shown(call, job)
        job.count_poll()
        if not job.ended:
            response.headers["retry-after"] = POLL_AFTER
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return the page after ``after_id``, or the one right before ``before_id``; newest first."""
        query = call.request.query
        jobs = self._world.jobs.newest_first(ANTHROPIC, call.owner, call.now)
        limit = read_limit(call, 20, 1000)
        if "after_id" in query:
            jobs = jobs[_place(jobs, query["after_id"], "after_id") + 1 :]
        if "before_id" in query:
            jobs = jobs[: _place(jobs, query["before_id"], "before_id")]
            page = jobs[-limit:]
        else:
            page = jobs[:limit]
        return json_response(
            {
                "data": [batch_object(job, _base_url(call), call.now) for job in page],
                "has_more": len(jobs) > len(page),
                "first_id": page[0].request.id if page else None,
                "last_id": page[-1].request.id if page else None,
            }
        )

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a batch; an ended one stays as it is."""
        job = self._existing(call)
        job.cancel(call.now)
        return self._shown(call, job)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a batch that has ended."""
        job = self._existing(call)
        if not job.ended:
            message = "In progress batches cannot be deleted. Consider canceling the batch instead."
            raise RefusedError("invalid_request_error", message)
        self._world.jobs.remove(job)
        return json_response({"id": job.request.id, "type": "message_batch_deleted"})

    async def results(self, call: BatchCall) -> web.StreamResponse:
        """Return the result lines, in another order than the rows."""
        job = self._existing(call)
        if not has_results(job, call.now) or job.results.output is None:
            raise RefusedError("not_found_error", f"Message Batch {job.request.id} has no available results.")
        headers = {
            "content-type": "application/x-jsonl",
            "content-disposition": f'attachment; filename="{job.request.id}_results.jsonl"',
        }
        return await send_results(self._world, ANTHROPIC, call.request, job.results.output, headers)

    def _existing(self, call: BatchCall) -> Job:
        job_id = call.request.match_info["batch_id"]
        job = self._world.jobs.find(ANTHROPIC, call.owner, job_id, call.now)
        if job is None:
            raise RefusedError("not_found_error", f"Message Batch {job_id} not found.")
        return job

    def _shown(self, call: BatchCall, job: Job) -> web.Response:
        return json_response(batch_object(job, _base_url(call), call.now))


def _base_url(call: BatchCall) -> str:
    return f"{call.request.url.origin()}/{ANTHROPIC}"


def _place(jobs: list[Job], job_id: str, param: str) -> int:
    place = next((place for place, job in enumerate(jobs) if job.request.id == job_id), None)
    if place is None:
        raise RefusedError("invalid_request_error", f"Invalid `{param}`. No batch found for `{param}` {job_id}.")
    return place
