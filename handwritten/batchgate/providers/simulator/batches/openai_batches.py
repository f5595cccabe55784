"""The OpenAI-shaped batches API: create, retrieve, list, cancel (native-lanes 2.1, batch-apis 4.3)."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_limit
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.file_results import FileResults, ResultKind
from batchgate.providers.simulator.batches.job import Job, JobRequest, JobState
from batchgate.providers.simulator.batches.openai_create import CreateBatch, full_endpoint, read_create, window_hours
from batchgate.providers.simulator.batches.openai_errors import invalid, not_found
from batchgate.providers.simulator.batches.openai_files import OpenAIFiles
from batchgate.providers.simulator.batches.openai_objects import batch_object
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.openai_rows import OpenAIWire
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.wire import LineFault
from batchgate.providers.simulator.batches.world import BatchWorld

HOUR: Final = 3600.0
MAX_IDS: Final = 200
"""The number of batches that Groq's list fetches by id (native-lanes 2.8)."""


class OpenAIBatches:
    """The batches API of one provider."""

    def __init__(self, world: BatchWorld, provider: OpenAIProvider, files: OpenAIFiles) -> None:
        self._world = world
        self._provider = provider
        self._files = files
        word = "errors" if provider.file_ids_from_job else "error"
        self._results = FileResults(world, provider.name, self._new_file_id, error_word=word)
        self._by_idempotency_key: dict[tuple[str, str], Job] = {}

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a batch; its input file is validated later."""
        refuse_create(self._world, self._provider.name)
        create = await read_create(call, self._provider)
        key = call.request.headers.get("idempotency-key") if self._provider.idempotency_key else None
        earlier = self._by_idempotency_key.get((call.owner, key or ""))
        if earlier is not None:
            return self._shown(earlier)
        file = self._input_file(call, create.input_file_id)
        self._check_number_of_jobs(call)
        make = partial(self._make, call, create, file, key)
        return create_job(self._world, self._provider.name, call, make, self._shown)

    def _input_file(self, call: BatchCall, file_id: str) -> StoredFile | None:
        """Return the input file, or None for a batch that fails because it has none (native-lanes 2.1, 10.3)."""
        if self._world.faults.take("cannot_find_file", self._provider.name):
            raise invalid(f"Cannot find file {file_id} or project proj_simulated does not have access to it.")
        file = self._files.find(call, file_id)
        if file is None and self._provider.missing_file == "not_found":
            raise RefusedError("not_found_error", "file not found")
        if file is not None and self._files.is_pending(file, call.now):
            raise invalid(f"File {file_id} is not processed yet.", "input_file_id")
        return file if file is not None and file.purpose == "batch" else None

    def _check_number_of_jobs(self, call: BatchCall) -> None:
        jobs = self._world.jobs.newest_first(self._provider.name, call.owner, call.now)
        largest = self._provider.max_jobs
        if largest is not None and sum(not job.ended for job in jobs) >= largest:
            raise RefusedError("rate_limit_error", f"No more than {largest} batches can run at a time.")

    def _make(
        self, call: BatchCall, create: CreateBatch, file: StoredFile | None, key: str | None, faults: BatchFaults
    ) -> Job:
        endpoint = full_endpoint(create.endpoint, self._provider)
        window = create.completion_window or "24h"
        expires_after = create.output_expires_after
        job_id = self._new_id()
        request = JobRequest(
            id=job_id,
            provider=self._provider.name,
            owner=call.owner,
            input_path=self._world.new_path("no-input") if file is None else file.path,
            created=call.now,
            expires=call.now + HOUR * (window_hours(window, self._provider) or 24),
            input_file_id=create.input_file_id,
            endpoint=endpoint,
            completion_window=window,
            metadata=create.metadata,
            results_life=None if expires_after is None else expires_after.seconds,
            bad_input=None if file is not None else _no_file(create.input_file_id),
        )
        settings = self._world.settings
        job = self._world.new_job(request, OpenAIWire(self._provider, endpoint, self._world.model, settings), faults)
        if key is not None:
            self._by_idempotency_key[call.owner, key] = job
        return job

    def _new_id(self) -> str:
        if self._provider.uuid_job_ids:
            return f"batch_{UUID(self._world.new_token(32))}"
        return self._provider.job_id.format(token=self._world.new_token(32))

    def _new_file_id(self, job: Job, kind: ResultKind) -> str:
        if self._provider.file_ids_from_job:
            return f"{job.request.id}_{kind}"
        return self._provider.file_id.format(token=self._world.new_token())

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a batch."""
        job = self._existing(call)
        response = self._shown(job)
        if job.state is JobState.COMPLETED:
            job.late_polls = max(0, job.late_polls - 1)
        return response

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a batch."""
        job = self._existing(call)
        if job.ended and self._provider.cancel_of_ended != 200:
            raise invalid(f"batch already {job.state}", status=self._provider.cancel_of_ended)
        job.cancel(call.now)
        return self._shown(job)

    async def delete(self, _call: BatchCall) -> web.StreamResponse:
        """Refuse to delete a batch: no provider with this API can (native-lanes 10.6)."""
        status = self._provider.job_delete_status
        message = {403: "Access denied", 405: "Method Not Allowed"}.get(status, "Not found")
        raise RefusedError("invalid_request_error", message, status=status)

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of batches, newest first."""
        query = call.request.query
        jobs = self._world.jobs.newest_first(self._provider.name, call.owner, call.now)
        if self._provider.pages_by_cursor and "id" in query:
            wanted = frozenset(query.getall("id")[:MAX_IDS])
            jobs = [job for job in jobs if job.request.id in wanted]
        after = query.get("cursor" if self._provider.pages_by_cursor else "after")
        start = 0 if after is None else self._place_after(jobs, after)
        limit = read_limit(call, 20, 100)
        page = jobs[start : start + limit]
        last = page[-1].request.id if page else None
        has_more = len(jobs) > start + limit
        content: dict[str, object] = {"object": "list", "data": [self._object(job) for job in page]}
        if self._provider.pages_by_cursor:
            content["paging"] = {"next_cursor": last if has_more else None}
        else:
            content |= {"first_id": page[0].request.id if page else None, "last_id": last, "has_more": has_more}
        return json_response(content)

    def _place_after(self, jobs: list[Job], job_id: str) -> int:
        place = next((place for place, job in enumerate(jobs, 1) if job.request.id == job_id), None)
        if place is None:
            raise not_found("batch", job_id)
        return place

    def _existing(self, call: BatchCall) -> Job:
        job_id = call.request.match_info["batch_id"]
        job = self._world.jobs.find(self._provider.name, call.owner, job_id, call.now)
        if job is None:
            raise not_found("batch", job_id)
        return job

    def _object(self, job: Job) -> dict[str, object]:
        return batch_object(job, self._provider, self._results.shown(job))

    def _shown(self, job: Job) -> web.Response:
        return json_response(self._object(job))


def _no_file(file_id: str) -> LineFault:
    """Return why a batch without an input file fails (native-lanes 10.3)."""
    return LineFault(code="invalid_request", message=f"The file {file_id} cannot be read.", param="file_id")
