"""Faults that the simulated batch APIs play on demand; each is a real report (native-lanes 7.2).

To add a fault, add a field to `BatchFaults` and read it where it acts: `Job.faults` for the faults of one job,
`FaultSwitch.take` for those that count calls.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from batchgate.providers.simulator.simulator import Count, Fraction, Seconds

CancellationFault: TypeAlias = Literal["keeps_results", "loses_results", "loses_race"]
CountedFault: TypeAlias = Literal[
    "refuse_creates", "cannot_find_file", "refuse_downloads", "cut_downloads", "refuse_deletions"
]


class BatchFaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Faults of new jobs and of calls; none by default. A job keeps the faults that it was created with."""

    provider: str | None = None
    """The provider that plays the faults; if not set, all do."""
    jobs: Count | None = None
    """How many new jobs get the faults; if not set, all until the faults are replaced."""

    lose_create_answer: Literal["close", "500"] | None = None
    """The job is made, but the connection is closed, or the answer is 500."""
    accept_twice: bool = False
    """One create makes two jobs; the answer names the first."""
    hide_job: Seconds = 0
    """Simulated seconds after its creation in which the job is not found (404)."""
    hide_in_list: Seconds = 0
    """Simulated seconds after its creation in which lists do not contain the job."""

    fail_with: str | None = None
    """The validation of the job fails with this code, such as ``token_limit_exceeded``; not on Anthropic."""
    stall_in_validation: bool = False
    """The job is never validated."""
    stall_at: Fraction | None = None
    """No row is answered after this fraction of them; the job ends when it expires."""
    fail_at: Fraction | None = None
    """The job fails without results as soon as this fraction of its rows is answered; not on Anthropic."""
    expire_at: Fraction | None = None
    """The job expires as soon as this fraction of its rows is answered."""
    cancellation: CancellationFault | None = None
    """What a cancellation does: end with the answered rows, lose them, or come too late to stop any row."""

    missing_rows: tuple[Count, ...] = ()
    """Rows, by their number from 0, that no result has."""
    doubled_rows: tuple[Count, ...] = ()
    """Rows, by their number from 0, whose result comes twice."""
    foreign_rows: Count = 0
    """Number of results with ids that the job does not have."""
    reorder_rows: bool = False
    """The results come in the reverse order."""
    rows_without_usage: tuple[Count, ...] = ()
    """Rows, by their number from 0, whose answer has no ``usage``."""
    cut_off_rows: tuple[Count, ...] = ()
    """Rows, by their number from 0, whose answer has no text because its tokens were used up before."""
    retype_ids: bool = False
    """Ids that look like numbers lose their leading zeros."""
    unknown_status: str | None = None
    """The status that is shown instead of ``in_progress``."""
    counters: Literal["null", "zero", "too_many"] | None = None
    """What the counters of rows show instead of the truth."""
    shift_line_numbers: int = 0
    """What is added to the line numbers of validation errors."""
    plain_errors: bool = False
    """``errors`` of a batch is a plain array instead of an object (native-lanes 2.8)."""
    late_output_file: Count = 0
    """Number of times that the completed job is shown without its result files."""
    empty_error_file: bool = False
    """There is an error file although no row has an error."""
    deleted_error_file: bool = False
    """The job names an error file that was already deleted."""

    refuse_creates: Count = 0
    """Number of creates that are answered with 429."""
    retry_after: Seconds | None = None
    """The Retry-After of these answers; if not set, they have none."""
    cannot_find_file: Count = 0
    """Number of creates that are refused because the input file is not found yet."""
    refuse_downloads: Count = 0
    """Number of downloads of results that are answered with 503."""
    cut_downloads: Count = 0
    """Number of downloads of results whose connection is closed after half of the content."""
    refuse_deletions: Count = 0
    """Number of calls with the method DELETE that are answered with 503."""
    outage: int | None = None
    """The HTTP status of all calls while it is set, such as 522 of an edge server."""


NO_FAULTS: Final = BatchFaults()


class FaultSwitch:
    """The faults that are switched on, and how often each has still to be played."""

    def __init__(self, faults: BatchFaults = NO_FAULTS) -> None:
        self._faults = faults

    @property
    def current(self) -> BatchFaults:
        """The faults that are still to be played."""
        return self._faults

    def replace(self, faults: BatchFaults) -> None:
        """Switch on these faults, and all others off."""
        self._faults = faults

    def for_calls(self, provider: str) -> BatchFaults:
        """Return the faults for a call of a provider's API."""
        return self._faults if self._faults.provider in (None, provider) else NO_FAULTS

    def for_new_job(self, provider: str) -> BatchFaults:
        """Return the faults of a new job, and count the job."""
        faults = self.for_calls(provider)
        if faults.jobs is None:
            return faults
        if faults.jobs == 0:
            return NO_FAULTS
        self._faults = structs.replace(self._faults, jobs=faults.jobs - 1)
        return faults

    def take(self, fault: CountedFault, provider: str) -> bool:
        """Return whether a call meets a fault that counts calls, and count the call."""
        left: int = getattr(self.for_calls(provider), fault)
        if left:
            self._faults = structs.replace(self._faults, **{fault: left - 1})
        return left > 0
