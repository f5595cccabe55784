"""All jobs of the simulated batch APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchgate.providers.simulator.batches.job import Job


class JobList:
    """The jobs in the order of their creation."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = asyncio.Lock()

    def add(self, job: Job) -> None:
        """Add a new job."""
        self._jobs[job.request.id] = job

    def remove(self, job: Job) -> None:
        """Remove a job."""
        del self._jobs[job.request.id]

    async def advance(self, now: float, on_end: Callable[[Job], None]) -> None:
        """Let all jobs do what is due by now; ``on_end`` gets those that end."""
        async with self._lock:
            running = [job for job in self._jobs.values() if not job.ended]
            if running:
                await asyncio.to_thread(_advance, running, now)  # it reads and writes files
            for job in running:
                if job.ended:
                    on_end(job)

    def all(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return [*self._jobs.values()]

    def find(self, provider: str, owner: str, job_id: str, now: float) -> Job | None:
        """Return a job that its owner can see, or None."""
        job = self._jobs.get(job_id)
        if job is None or (job.request.provider, job.request.owner) != (provider, owner):
            return None
        return job if now - job.request.created >= job.faults.hide_job else None

    def newest_first(self, provider: str, owner: str, now: float) -> list[Job]:
        """Return the jobs that lists show to an owner, newest first."""
        return [
            job
            for job in reversed(self._jobs.values())
            if (job.request.provider, job.request.owner) == (provider, owner)
            and now - job.request.created >= job.faults.hide_in_list
        ]

    def queued_tokens(self, job: Job) -> int:
        """Return the input tokens of the other jobs of the same key and model that have not ended."""
        queue = (job.request.provider, job.request.owner)
        model = None if job.validation is None else job.validation.model
        return sum(
            other.validation.tokens
            for other in [*self._jobs.values()]
            if other is not job
            and other.validation is not None
            and not other.ended
            and (other.request.provider, other.request.owner) == queue
            and other.validation.model == model
        )


def _advance(jobs: list[Job], now: float) -> None:
    for job in jobs:
        job.advance(now)
