"""A provider's own batch API, and what can run on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct

from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamResponse

LimitName: TypeAlias = Literal["max_requests", "max_bytes"]

JobOutcome: TypeAlias = Literal["running", "completed", "failed", "expired", "canceled"]
"""What the provider's word for a job's state means; a word that nobody knows means ``running`` (native-lanes 0.8)."""


class LaneLimits(Struct, frozen=True, kw_only=True):
    """What one job may have."""

    max_requests: int
    max_bytes: int
    """Bytes of its file or body, without an envelope."""
    max_row_bytes: int
    min_requests: int = 1
    group_of: Callable[[RequestRow], str] | None = None
    """Returns what all requests of a job must have in common beside the model; None if that is nothing."""
    one_model: bool = True
    """Whether all requests of a job must name one model."""
    label: Literal["exact", "approximate"] = "exact"
    """Whether a job can be found by its token, or only by its time and size (native-lanes 4)."""
    window: int = 24 * 3600
    """Seconds within which the provider promises to end a job."""
    unpublished: frozenset[LimitName] = frozenset()
    """The limits that the provider does not publish: they are Batchgate's own."""


class JobFault(Struct, frozen=True, kw_only=True):
    """One reason why a provider refused a whole job."""

    code: str
    message: str
    line: int | None = None
    """The index of the row that the provider names, from 0; it may be wrong (native-lanes 0.6)."""


class UpstreamJob(Struct, frozen=True, kw_only=True):
    """What a provider says about a job."""

    id: str
    status: str
    """The provider's own word."""
    outcome: JobOutcome
    results: tuple[str, ...] = ()
    """Handles of result files; a job that has none may get them later."""
    awaits_results: bool = False
    """Whether it has ended, but says that there are results which it does not show yet."""
    faults: tuple[JobFault, ...] = ()
    limit_exceeded: bool = False
    """Whether it was refused because too many tokens are enqueued."""
    token_limit: int | None = None
    """The limit of enqueued tokens, if the refusal names it."""
    retry_after: float | None = None
    """Seconds until the provider wants to be asked again."""


class NativeResult(Struct, frozen=True, kw_only=True, gc=False):
    """What a job delivered for one request."""

    row_id: str
    response: UpstreamResponse | None
    """The answer or the error, as the live API would have sent it; None if the request did not run."""
    unfinished: Literal["expired", "canceled"] | None = None
    """Why it did not run."""


RESULTS_AT_ONCE: Final = 128
"""Results that a group has at most: they are read without a pause for the event loop, in a few milliseconds."""
ResultGroups: TypeAlias = AsyncGenerator[Sequence[NativeResult], None]
"""Results in groups of `RESULTS_AT_ONCE`, or fewer: a step of the event loop for each one would cost as much as it."""


class ProviderBatches(Protocol):
    """Calls the batch API of one provider. Calls raise `UpstreamError` or `NoUpstreamAnswer`; none is retried.

    An error that ``rows`` raise while they are read passes through unchanged.

    The engine stores each step before the next one, so that a job is found again after a crash at any of them.
    """

    @property
    def limits(self) -> LaneLimits:
        """What one job may have."""
        ...

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind; raises `RequestError` if there is none."""
        ...

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        ...

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request, which `refusal` lets pass, as a row of a job; raises `RequestError`."""
        ...

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str | None:
        """Upload the input of a job and return the id of its file; None where the create call carries the requests."""
        ...

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job upstream, with one attempt. ``rows`` are read only where no file was uploaded.

        After a status of 5xx, or no answer (`NoUpstreamAnswer` other than `UpstreamUnreachable`), the job may exist.
        After any other error it does not, and one with ``retry_safe`` passes: the uploaded file is not visible yet, or
        too much is enqueued.
        """
        ...

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token, the oldest first.

        With an approximate label: those that are not older than the create call, and have as many requests as were
        sent. One that awaits its results may show them when it is polled.
        """
        ...

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        ...

    def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all result files in groups, in any order, some perhaps twice; ids may be foreign.

        Lines that are no results are skipped and logged. A file that is gone raises an `UpstreamError` with status 404
        after the rows of the other files; one that is cut off raises a `NoUpstreamAnswer` that is safe to retry.
        """
        ...

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask the provider to end a job; one that has ended is left as it is."""
        ...

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the files of a job whose results are stored, or the job itself where it holds them.

        If the job may have lost files, they are looked for by their names, where the provider lists files and does not
        remove them soon. Each is tried before the first error is raised; errors do not matter to the caller.
        """
        ...
