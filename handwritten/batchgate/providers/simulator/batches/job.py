"""A simulated batch job over time: its states, its rows and its result files.

A job does nothing by itself. `Job.advance` does all that is due by a time, at the moments at which it was due, so that
a clock that jumps gives the same job as one that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.result_files import ResultFiles, write_result_files
from batchgate.providers.simulator.batches.rows import RowLog
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import BatchWire, LineFault, Unfinished, Validation


class JobState(StrEnum):
    """The state of a job, in the words of OpenAI's batches (native-lanes 2.1)."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


class JobRequest(Struct, frozen=True, kw_only=True):
    """What a client asked for when it created a job."""

    id: str
    provider: str
    owner: str
    """The key that created the job: no other key finds it (native-lanes 0, trap 5)."""
    input_path: Path
    created: float
    """Seconds since the epoch, as all times of a job."""
    expires: float
    input_file_id: str | None = None
    endpoint: str = ""
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    results_life: float | None = None
    """For how many seconds result files are kept, if not as long as usual."""
    bad_input: LineFault | None = None
    """Why the input file cannot be read."""


class Job:
    """A job that has been created."""

    def __init__(
        self,
        request: JobRequest,
        wire: BatchWire,
        *,
        folder: Path,
        settings: BatchSettings,
        faults: BatchFaults,
        queued_tokens: Callable[[Job], int],
    ) -> None:
        folder.mkdir()
        self.request: Final = request
        self.faults: Final = faults
        self.state = JobState.VALIDATING
        self.entered: Final[dict[JobState, float]] = {JobState.VALIDATING: request.created}
        self.log: Final = RowLog(request.id, request.input_path, folder / "answers.jsonl")
        self.validation: Validation | None = None
        """What the validation found; None before it."""
        self.errors: tuple[LineFault, ...] = ()
        """Why the job failed."""
        self.results = ResultFiles()
        self.input_tokens = 0
        self.output_tokens = 0
        self.late_polls = faults.late_output_file
        """How often the completed job is still shown without its result files."""
        self._wire: Final = wire
        self._folder: Final = folder
        self._settings: Final = settings
        self._queued_tokens: Final = queued_tokens

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED

    def count_poll(self) -> None:
        """Count a poll of an ended job, which may be shown without its results at first."""
        if self.ended:
            self.late_polls = max(0, self.late_polls - 1)

    @property
    def paid(self) -> int:
        """The number of rows that the provider charges for."""
        return self.log.count("succeeded")

    def advance(self, now: float) -> None:
        """Do all that is due by now. It reads and writes files."""
        while not self.ended and self._step(now):
            pass

    def take_rows(self) -> None:
        """Validate the input at once, as an API does that has no phase for it."""
        self.errors = self._find_faults()

    def cancel(self, now: float) -> None:
        """Cancel the job, unless it has ended or is cancelled already."""
        if not self.ended and self.state is not JobState.CANCELLING:
            self._enter(JobState.CANCELLING, now)

    def _step(self, now: float) -> bool:
        """Do the next thing that is due; returns whether the state changed."""
        before = self.state
        match self.state:
            case JobState.VALIDATING:
                self._validate(now)
            case JobState.IN_PROGRESS:
                self._run(now)
            case JobState.FINALIZING:
                self._end_after(self._settings.finalizing, JobState.COMPLETED, now)
            case JobState.CANCELLING:
                self._end_cancelling(now)
        return self.state is not before

    def _enter(self, state: JobState, moment: float) -> None:
        self.state = state
        self.entered[state] = moment

    def _validate(self, now: float) -> None:
        due = self.entered[JobState.VALIDATING] + self._settings.validating
        if self.faults.stall_in_validation or now < due:
            if self._has_expired(now):
                self._end(JobState.EXPIRED, self.request.expires)
            return
        if self.validation is None:
            self.take_rows()
        if self.errors:
            self._enter(JobState.FAILED, due)
        else:
            self._enter(JobState.IN_PROGRESS, due)

    def _find_faults(self) -> tuple[LineFault, ...]:
        """Read the input file, take its rows, and return the faults for which the job fails."""
        if self.request.bad_input is not None:
            return (self.request.bad_input,)
        found = self._wire.validate(self.request.input_path)
        if found.faults:
            return found.faults
        if self.faults.fail_with is not None:
            return (self._wire.failure(self.faults.fail_with, found.model),)
        self.validation = found
        limit = self._settings.enqueued_tokens
        if limit is not None and self._queued_tokens(self) + found.tokens > limit:
            self.validation = None
            return (self._wire.failure("token_limit_exceeded", found.model),)
        self.log.fill(found.custom_ids)
        return ()

    def _run(self, now: float) -> None:
        """Answer the rows that are due."""
        since, length = self.entered[JobState.IN_PROGRESS], self._settings.running
        end = min(now, self.request.expires) if self._wire.rules.expires else now
        fraction = min(1.0, (end - since) / length) if length else 1.0
        faults = self.faults
        stops = [stop for stop in (faults.stall_at, faults.expire_at, faults.fail_at) if stop is not None]
        self._answer_until(int(min([fraction, *stops]) * len(self.log.rows)))
        if faults.expire_at is not None and fraction >= faults.expire_at:
            self._end(JobState.EXPIRED, since + faults.expire_at * length)
        elif faults.fail_at is not None and fraction >= faults.fail_at:
            model = None if self.validation is None else self.validation.model
            self.errors = (self._wire.failure("server_error", model),)
            self._end(JobState.FAILED, since + faults.fail_at * length)
        elif fraction >= 1 and not any(stop < 1 for stop in stops):
            self._enter(JobState.FINALIZING, since + length)
        elif self._has_expired(now):
            self._end(JobState.EXPIRED, self.request.expires)

    def _answer_until(self, count: int) -> None:
        faults = {} if self.validation is None else self.validation.row_faults
        for answer in self.log.run(count, self._wire.answer, faults):
            self.input_tokens += answer.input_tokens
            self.output_tokens += answer.output_tokens

    def _has_expired(self, now: float) -> bool:
        return self._wire.rules.expires and now >= self.request.expires

    def _end_cancelling(self, now: float) -> None:
        runs_on = self._wire.rules.cancel_completes and JobState.IN_PROGRESS in self.entered
        if self.faults.cancellation == "loses_race" or (runs_on and self.faults.cancellation is None):
            if now >= self.entered[JobState.CANCELLING] + self._settings.cancelling:
                if self.validation is None:
                    self.errors = self._find_faults()
                self._answer_until(len(self.log.rows))
            self._end_after(self._settings.cancelling, JobState.FAILED if self.errors else JobState.COMPLETED, now)
        else:
            self._end_after(self._settings.cancelling, JobState.CANCELLED, now)

    def _end_after(self, seconds: float, state: JobState, now: float) -> None:
        due = self.entered[self.state] + seconds
        if now >= due:
            self._end(state, due)

    def _end(self, state: JobState, moment: float) -> None:
        """End the job and write its result files."""
        if state in (JobState.EXPIRED, JobState.CANCELLED):
            word: Unfinished = "expired" if state is JobState.EXPIRED else "canceled"
            self.log.finish(word, lambda call: self._wire.unfinished_line(call, word))
        keeps = self._wire.rules.cancelled_results or self.faults.cancellation == "keeps_results"
        if state is not JobState.FAILED and (state is not JobState.CANCELLED or keeps):
            faults = self._faults_of_results(state)
            self.results = write_result_files(self.log, self._folder, self._wire.rules, faults, self._wire.answer)
        self._enter(state, moment)

    def _faults_of_results(self, state: JobState) -> BatchFaults:
        """Return the faults, with the answered rows as missing if a cancellation loses them."""
        if state is not JobState.CANCELLED or self.faults.cancellation != "loses_results":
            return self.faults
        lost = tuple(index for index, row in enumerate(self.log.rows) if row.state == "succeeded")
        return structs.replace(self.faults, missing_rows=lost)
