"""The result files of the jobs of one provider, as files of its files API (native-lanes 2.1, 10.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.providers.simulator.batches.job import Job
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld

ResultKind: TypeAlias = Literal["output", "error"]
RESULT_LIFE: Final = 30 * 86_400.0
"""For how many seconds result files are kept, unless the job says otherwise."""


class ResultIds(Struct, frozen=True, kw_only=True):
    """The ids of the result files of a job."""

    output: str | None = None
    error: str | None = None


class FileResults:
    """Publishes the result files of a provider's jobs as they end; ``new_id`` makes the id of a file."""

    def __init__(
        self,
        world: BatchWorld,
        provider: str,
        new_id: Callable[[Job, ResultKind], str],
        *,
        error_word: str = "error",
    ) -> None:
        self._world = world
        self._provider = provider
        self._new_id = new_id
        self._error_word = error_word
        self._ids: dict[str, ResultIds] = {}
        world.on_end(provider, self._publish)

    def shown(self, job: Job) -> ResultIds:
        """Return the ids of the result files that a job shows: none while it runs, nor while the fault hides them."""
        return self._ids.get(job.request.id, ResultIds()) if job.late_polls == 0 else ResultIds()

    def _publish(self, job: Job) -> None:
        output = None if job.results.output is None else self._add(job, job.results.output, "output", "output")
        error = None if job.results.error is None else self._add(job, job.results.error, "error", self._error_word)
        if job.faults.deleted_error_file:
            error = self._new_id(job, "error")
        self._ids[job.request.id] = ResultIds(output=output, error=error)

    def _add(self, job: Job, path: Path, kind: ResultKind, word: str) -> str:
        created = job.entered[job.state]
        life = RESULT_LIFE if job.request.results_life is None else job.request.results_life
        file = StoredFile(
            id=self._new_id(job, kind),
            provider=self._provider,
            owner=job.request.owner,
            filename=f"{job.request.id}_{word}.jsonl",
            purpose="batch_output",
            size=path.stat().st_size,
            created=created,
            expires=created + life,
            path=path,
        )
        self._world.files.add(file)
        return file.id
