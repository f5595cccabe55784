"""What all simulated batch APIs share: the clock, the jobs, the files, the faults and the settings."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from batchgate.providers.simulator.batches.clock import SimulatedClock
from batchgate.providers.simulator.batches.faults import BatchFaults, FaultSwitch
from batchgate.providers.simulator.batches.job import Job, JobRequest
from batchgate.providers.simulator.batches.jobs import JobList
from batchgate.providers.simulator.batches.row_model import RowModel
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.stored_files import FileStore
from batchgate.providers.simulator.batches.wire import BatchWire


class BatchWorld:
    """The state of the simulated batch APIs, which ends with the process."""

    def __init__(self, clock: SimulatedClock, model: RowModel, settings: BatchSettings, faults: FaultSwitch) -> None:
        self.clock: Final = clock
        self.model: Final = model
        self.settings = settings
        self.faults: Final = faults
        self.jobs: Final = JobList()
        self.files: Final = FileStore()
        self._on_end: dict[str, Callable[[Job], None]] = {}
        self._folder = TemporaryDirectory(prefix="batchgate-simulator-")
        self._made = 0

    def close(self) -> None:
        """Delete all files."""
        self._folder.cleanup()

    def on_end(self, provider: str, act: Callable[[Job], None]) -> None:
        """Call a function for each job of a provider that ends."""
        self._on_end[provider] = act

    async def advance(self) -> float:
        """Let all jobs do what is due, and return the time."""
        now = self.clock.now()
        await self.jobs.advance(now, lambda job: self._on_end.get(job.request.provider, _ignore)(job))
        return now

    def new_job(
        self, request: JobRequest, wire: BatchWire, faults: BatchFaults, settings: BatchSettings | None = None
    ) -> Job:
        """Make a job with a folder of its own, by the present settings unless it has others."""
        return Job(
            request,
            wire,
            folder=self.new_path(request.id.rpartition("/")[2]),
            settings=settings or self.settings,
            faults=faults,
            queued_tokens=self.jobs.queued_tokens,
        )

    def new_token(self, length: int = 24) -> str:
        """Return the changing part of a new id, in hexadecimal; the same calls give the same ids."""
        self._made += 1
        return blake2b(b"%d" % self._made, digest_size=32).hexdigest()[:length]

    def new_path(self, name: str) -> Path:
        """Return the path of a new file or folder."""
        return Path(self._folder.name) / f"{self._made}-{self.new_token(8)}-{name}"


def _ignore(_job: Job) -> None:
    """Do nothing."""
