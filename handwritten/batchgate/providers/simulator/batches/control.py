"""The control paths of the simulated batch APIs, for tests: the clock, the faults, the settings and a journal."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import json_response, read_json
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job
from batchgate.providers.simulator.batches.rows import RowState
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.simulator import Seconds


class ClockChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /simulator/clock`` changes."""

    advance: Seconds = 0
    """By how many seconds the clock is moved forward."""
    speed: Annotated[float, Meta(gt=0)] | None = None
    """How many times as fast as real time the clock runs from now on."""


class ClockReading(Struct, frozen=True, kw_only=True):
    """The simulated time."""

    now: float
    """Seconds since the Unix epoch."""


class JournalRow(Struct, frozen=True, kw_only=True):
    """A row of a job."""

    custom_id: str | None
    state: RowState


class JournalJob(Struct, frozen=True, kw_only=True):
    """A job, with rows once its input was validated."""

    provider: str
    id: str
    state: str
    """The state in the words of OpenAI's batches, on every provider."""
    created_at: float
    input_file_id: str | None
    metadata: dict[str, str] | None
    answered: int
    """Number of rows that ran."""
    paid: int
    """Number of rows that were answered with success: what a provider charges for."""
    rows: list[JournalRow]


class Journal(Struct, frozen=True, kw_only=True):
    """All jobs that were ever created and not deleted, oldest first."""

    jobs: list[JournalJob]


class BatchControl:
    """The handlers of the control paths."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self._clock_changes = msgspec.json.Decoder(ClockChange)
        self._faults = msgspec.json.Decoder(BatchFaults)
        self._settings = msgspec.json.Decoder(BatchSettings)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/simulator/clock", self.move_clock),
            web.get("/simulator/faults", self.faults),
            web.post("/simulator/faults", self.replace_faults),
            web.put("/simulator/settings", self.replace_settings),
            web.get("/simulator/jobs", self.jobs),
        ]

    async def move_clock(self, request: web.Request) -> web.Response:
        """Move the clock or change its speed, and let all jobs do what is due."""
        try:
            change = await read_json(request, self._clock_changes)
        except RefusedError as refusal:
            return _invalid(refusal)
        if change.speed is not None:
            self._world.clock.set_speed(change.speed)
        self._world.clock.advance(change.advance)
        return json_response(ClockReading(now=await self._world.advance()))

    async def faults(self, _request: web.Request) -> web.Response:
        """Return the faults that are still to be played."""
        return json_response(self._world.faults.current)

    async def replace_faults(self, request: web.Request) -> web.Response:
        """Switch faults on, and all others off."""
        try:
            self._world.faults.replace(await read_json(request, self._faults))
        except RefusedError as refusal:
            return _invalid(refusal)
        return web.Response(status=204)

    async def replace_settings(self, request: web.Request) -> web.Response:
        """Replace the settings of new jobs."""
        try:
            self._world.settings = await read_json(request, self._settings)
        except RefusedError as refusal:
            return _invalid(refusal)
        return web.Response(status=204)

    async def jobs(self, _request: web.Request) -> web.Response:
        """Return the journal."""
        await self._world.advance()
        return json_response(Journal(jobs=[_journal_job(job) for job in self._world.jobs.all()]))


def _journal_job(job: Job) -> JournalJob:
    return JournalJob(
        provider=job.request.provider,
        id=job.request.id,
        state=job.state.value,
        created_at=job.request.created,
        input_file_id=job.request.input_file_id,
        metadata=job.request.metadata,
        answered=job.log.answered,
        paid=job.paid,
        rows=[JournalRow(custom_id=row.custom_id, state=row.state) for row in job.log.rows],
    )


def _invalid(refusal: RefusedError) -> web.Response:
    return json_response({"error": refusal.message}, 400)
