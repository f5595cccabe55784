"""Creates a job, with the faults that a create can meet (native-lanes 0 trap 1, 7.2)."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.job import Job
from batchgate.providers.simulator.batches.world import BatchWorld


def refuse_create(world: BatchWorld, provider: str) -> None:
    """Raise `RefusedError` if the create is one of those that are refused with 429."""
    faults = world.faults.for_calls(provider)
    if world.faults.take("refuse_creates", provider):
        headers = {} if faults.retry_after is None else {"retry-after": f"{faults.retry_after:g}"}
        raise RefusedError(
            "rate_limit_error", "Too many batches were created. Please try again later.", headers=headers
        )


def create_job(
    world: BatchWorld,
    provider: str,
    call: BatchCall,
    make: Callable[[BatchFaults], Job],
    answer: Callable[[Job], web.Response],
) -> web.Response:
    """Make a job, or two of them, and answer, unless the answer is to be lost."""
    faults = world.faults.for_new_job(provider)
    job = make(faults)
    world.jobs.add(job)
    if faults.accept_twice:
        world.jobs.add(make(faults))
    if faults.lose_create_answer == "500":
        raise RefusedError("api_error", "Internal server error")
    if faults.lose_create_answer == "close" and call.request.transport is not None:
        call.request.transport.abort()
    return answer(job)
