"""Gemini's batch API in file mode: create, get, list, cancel, delete (native-lanes 2.3, more-dialects 4.1)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.creating import create_job, refuse_create
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.gemini_files import GeminiFiles
from batchgate.providers.simulator.batches.gemini_objects import GEMINI, operation, unknown
from batchgate.providers.simulator.batches.gemini_pages import page_of
from batchgate.providers.simulator.batches.gemini_rows import GeminiWire, Method
from batchgate.providers.simulator.batches.job import Job, JobRequest
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld

LIFE: Final = 48 * 3600.0
MAX_JOBS: Final = 100
"""The number of jobs that can run at a time."""
METHODS: Final[dict[str, Method]] = {
    "batchGenerateContent": "generateContent",
    "asyncBatchEmbedContent": "embedContent",
}
"""The method of the rows of each method that creates a job."""


class _InputConfig(Struct):
    fileName: str | None = None  # noqa: N815 - Gemini's name
    file_name: str | None = None


class _Batch(Struct):
    inputConfig: _InputConfig = msgspec.field(default_factory=_InputConfig)  # noqa: N815 - Gemini's name
    input_config: _InputConfig | None = None
    displayName: str | None = None  # noqa: N815 - Gemini's name
    display_name: str | None = None


class _Create(Struct):
    batch: _Batch


_CREATE: Final = msgspec.json.Decoder(_Create)


class GeminiBatches:
    """The batch API of one simulated Gemini."""

    def __init__(self, world: BatchWorld, files: GeminiFiles) -> None:
        self._world = world
        self._files = files

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Make a job; a file with one malformed line is refused as a whole."""
        refuse_create(self._world, GEMINI)
        batch = (await read_json(call.request, _CREATE)).batch
        model = call.request.match_info["model"]
        if self._world.settings.models is not None and model not in self._world.settings.models:
            raise unknown(f"models/{model}")
        config = batch.input_config or batch.inputConfig
        file = self._input_file(call, config.fileName or config.file_name)
        wire = GeminiWire(model, METHODS[call.request.match_info["method"]], self._world.model)
        await asyncio.to_thread(wire.check, file.path)
        self._check_number_of_jobs(call)
        name = batch.displayName or batch.display_name or ""
        make = partial(self._make, call, wire, file, name)
        return create_job(self._world, GEMINI, call, make, lambda job: json_response(operation(job)))

    def _input_file(self, call: BatchCall, name: str | None) -> StoredFile:
        if name is None:
            raise RefusedError("invalid_request_error", "The simulator takes batches from files only.")
        missing = self._world.faults.take("cannot_find_file", GEMINI)
        file = None if missing else self._files.find(call, name)
        if file is None:
            message = f"You do not have permission to access the File {name} or it may not exist."
            raise RefusedError("permission_error", message)
        if self._files.is_pending(file, call.now):
            raise RefusedError("invalid_request_error", f"The File {name} is not in an ACTIVE state.")
        return file

    def _check_number_of_jobs(self, call: BatchCall) -> None:
        jobs = self._world.jobs.newest_first(GEMINI, call.owner, call.now)
        if sum(not job.ended for job in jobs) >= MAX_JOBS:
            raise RefusedError("rate_limit_error", f"No more than {MAX_JOBS} batches can run at a time.")

    def _make(self, call: BatchCall, wire: GeminiWire, file: StoredFile, name: str, faults: BatchFaults) -> Job:
        job_id = f"batches/{self._world.new_token(36)}"
        request = JobRequest(
            id=job_id,
            provider=GEMINI,
            owner=call.owner,
            input_path=file.path,
            created=call.now,
            expires=call.now + LIFE,
            input_file_id=file.id,
            endpoint=METHODS[call.request.match_info["method"]],
            metadata={"displayName": name},
        )
        return self._world.new_job(request, wire, faults)

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a job."""
        job = self._existing(call)
        response = json_response(operation(job))
        job.count_poll()
        return response

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of jobs, oldest first: nothing is known of Google's order."""
        jobs = self._world.jobs.newest_first(GEMINI, call.owner, call.now)[::-1]
        shown, token = page_of(call, jobs)
        page: dict[str, object] = {"operations": [operation(job) for job in shown]} if shown else {}
        return json_response(page | ({"nextPageToken": token} if token else {}))

    async def cancel(self, call: BatchCall) -> web.StreamResponse:
        """Cancel a job."""
        job = self._existing(call)
        if job.ended:
            raise RefusedError("invalid_request_error", "The batch has ended already.")
        job.cancel(call.now)
        return json_response({})

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a job and its results; this does not cancel it."""
        self._world.jobs.remove(self._existing(call))
        return json_response({})

    def _existing(self, call: BatchCall) -> Job:
        name = f"batches/{call.request.match_info['name']}"
        job = self._world.jobs.find(GEMINI, call.owner, name, call.now)
        if job is None:
            raise unknown(name)
        return job
