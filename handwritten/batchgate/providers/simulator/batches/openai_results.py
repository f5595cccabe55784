"""The result files of OpenAI-shaped batches, as files of the files API (native-lanes 2.1, 10.4)."""

from __future__ import annotations

from pathlib import Path

from batchgate.providers.simulator.batches.job import Job
from batchgate.providers.simulator.batches.openai_objects import ResultIds
from batchgate.providers.simulator.batches.openai_providers import DAY, OpenAIProvider
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld


class OpenAIResults:
    """The result files of one provider's batches."""

    def __init__(self, world: BatchWorld, provider: OpenAIProvider) -> None:
        self._world = world
        self._provider = provider
        self._ids: dict[str, ResultIds] = {}

    def ids(self, job: Job) -> ResultIds:
        """Return the ids of the result files of a batch; all None until it has ended."""
        return self._ids.get(job.request.id, ResultIds())

    def publish(self, job: Job) -> None:
        """Add the result files of a batch that has ended to the files API."""
        output = None if job.results.output is None else self._add(job, job.results.output, "output", "output")
        word = "errors" if self._provider.file_ids_from_job else "error"
        error = None if job.results.error is None else self._add(job, job.results.error, "error", word)
        if job.faults.deleted_error_file:
            error = self._new_id(job, "error")
        self._ids[job.request.id] = ResultIds(output=output, error=error)

    def _new_id(self, job: Job, kind: str) -> str:
        if self._provider.file_ids_from_job:
            return f"{job.request.id}_{kind}"
        return self._provider.file_id.format(token=self._world.new_token())

    def _add(self, job: Job, path: Path, kind: str, word: str) -> str:
        created = job.entered[job.state]
        life = 30 * DAY if job.request.results_life is None else job.request.results_life
        file = StoredFile(
            id=self._new_id(job, kind),
            provider=self._provider.name,
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
