"""Batches: their options, their stored state, and pages of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from batchgate.engine.model.batch_endpoint import ENDPOINTS, BatchEndpoint
from batchgate.engine.model.budget import BudgetPauseCode
from batchgate.engine.model.clock import HOUR
from batchgate.engine.model.completion_window import DEFAULT_WINDOW
from batchgate.engine.model.concurrency_cap import ConcurrencyCap
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.native_job import JobState, NativeJob
from batchgate.engine.model.pace import Pace
from batchgate.engine.model.price import Spend
from batchgate.engine.model.priority import Priority, PriorityScope
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.retried_calls import RetriedCalls
from batchgate.engine.model.shard import Shard
from batchgate.engine.model.usage import Counts, Usage

Dialect: TypeAlias = Literal["anthropic", "openai"]
"""The wire format of a batch's request lines and result lines."""

BatchStatus: TypeAlias = Literal["validating", "failed", "in_progress", "canceling", "ended"]
"""A batch made from a file starts as validating, and becomes failed if the file has a fault."""

BatchEnd: TypeAlias = Literal["canceled", "expired", "completed"]
"""Why a batch ended."""

BatchPauseCode: TypeAlias = Literal[
    "requested", "identical_errors", "reuse_failed", "monthly_budget_reached", BudgetPauseCode
]
"""``requested``: a caller has paused the batch. ``identical_errors``: see `fail_fast`. ``reuse_failed``: the results
that it reuses cannot be read. ``monthly_budget_reached``: see `monthly_budget`."""

PausedJobs: TypeAlias = Literal["keep", "wait", "cancel"]
"""What a pause does to native jobs that the provider has. ``keep``: nothing. ``wait``: nothing, and the batch shows as
pausing until they have ended. ``cancel``: they are canceled, and what they leave unanswered is planned anew."""

EXPEDITED_BEFORE_EXPIRY = 2 * HOUR
"""From this long before its expiry, a batch is sent before all batches that have more time."""


class BatchPause(Struct, frozen=True, kw_only=True):
    """Why no request of a batch is sent until it is resumed."""

    code: BatchPauseCode
    reason: str | None
    """What the caller said, or why Batchgate has paused the batch, on one line."""
    since: int
    """When it was paused, in microseconds since the epoch."""
    by: str
    """The name of the API key that paused it; empty if the gateway needs no key, or has paused it itself."""
    native_jobs: PausedJobs = "keep"

    def is_complete(self, jobs: Iterable[NativeJob]) -> bool:
        """Check if the pause waits for none of the jobs of its batch."""
        return self.native_jobs == "keep" or not any(job.is_upstream for job in jobs)


class InputFault(Struct, frozen=True, kw_only=True):
    """One fault in the input file of a batch."""

    code: str
    """The kind of fault, such as ``duplicate_custom_id`` (batch-apis 4.3)."""
    message: str
    param: str | None = None
    """The wrong field, if the fault is in one field."""
    line: int | None = None
    """The line number, from 1; None for the file as a whole."""
    custom_id: str | None = None
    """The custom_id of the line, if it has one, shortened."""


class BatchOptions(Struct, frozen=True, kw_only=True):
    """What the caller chose for a batch beside its requests; the APIs that have such fields return them."""

    kind: RowKind = "messages"
    """The kind of all its requests."""
    model: str | None = None
    """The model for requests that name none."""
    metadata: Mapping[str, str] | None = None
    """Key-value pairs of the caller, returned unchanged."""
    input_file: str | None = None
    """The id of the input file, if the batch was made from one."""
    output_lifetime: int | None = None
    """Seconds for which the output and error files are kept after the end; None for the default."""
    window: str | UnsetType = UNSET
    """The completion window, as it was given. Unset for the default, so that fingerprints are those of versions that
    knew no other."""

    lane: Lane | UnsetType = UNSET
    """The lane that the caller asks for, also while it runs, or that its accounts had when the batch was created.

    Unset in a submission that asks for none, so that fingerprints are those of older versions, and in a batch whose
    accounts have different lanes.
    """
    account_lanes: Mapping[str, Lane] | UnsetType = UNSET
    """The lanes that its accounts had when the batch was created, by their names, if they were different."""

    left_jobs: bool | UnsetType = UNSET
    """Whether a caller has moved the running batch to the lane ``direct``: it may have jobs nevertheless."""

    @property
    def may_have_jobs(self) -> bool:
        """Whether native jobs of the batch may exist, ended ones included."""
        return self.lane != "direct" or self.left_jobs is True

    priority: Priority | UnsetType = UNSET
    """The priority that the caller asked for. Unset if there is none, so that fingerprints are those of older versions;
    `Batch.priority` is what it is now."""

    concurrency: int | UnsetType = UNSET
    """The concurrency cap that the caller asked for. Unset if there is none, so that fingerprints are those of older
    versions; `Batch.cap` is what it is now."""

    @property
    def first_concurrency(self) -> int | None:
        """The most calls of the batch that may be in flight at first; None for any number."""
        return None if self.concurrency is UNSET else self.concurrency

    own_endpoint: BatchEndpoint | UnsetType = UNSET
    """The endpoint of requests to a provider's own urls; unset for kinds with one endpoint."""

    @property
    def endpoint(self) -> BatchEndpoint | None:
        """The endpoint of the requests; None for Messages."""
        return ENDPOINTS.get(self.kind) if isinstance(self.own_endpoint, UnsetType) else self.own_endpoint

    budget: int | UnsetType = UNSET
    """What its answers may cost at first, in nano-dollars; it changes with `Batch.budget`."""
    fail_fast: int | UnsetType = UNSET
    """How many same errors at first pause the batch, as the caller said; 0 for none, unset for the setting."""

    name: str | UnsetType = UNSET
    """The caller's name for the batch. Unset if there is none, so that fingerprints are those of older versions."""

    @property
    def batch_name(self) -> str | None:
        """The caller's name for the batch; None if there is none."""
        return None if self.name is UNSET else self.name

    reuse: str | UnsetType = UNSET
    """The id of the batch whose results its requests take over where they are equal. Unset if there is none, so that
    fingerprints are those of older versions."""

    @property
    def reused_batch(self) -> str | None:
        """The id of the batch whose results are reused; None if there is none."""
        return None if self.reuse is UNSET else self.reuse

    webhook: str | UnsetType = UNSET
    """The URL that gets the events of the batch. Unset if there is none, so that fingerprints are those of older
    versions."""

    @property
    def webhook_url(self) -> str | None:
        """The URL that gets the events of the batch; None if there is none."""
        return None if self.webhook is UNSET else self.webhook

    @property
    def first_budget(self) -> int | None:
        """What the answers of the batch may cost at first; None for any amount."""
        return None if self.budget is UNSET else self.budget

    @property
    def completion_window(self) -> str:
        """The time from the creation of the batch to its expiry."""
        return DEFAULT_WINDOW if self.window is UNSET else self.window

    @property
    def model_prefixes(self) -> tuple[str, ...]:
        """The part of the default model before a slash, which may be the name of an account; empty without a slash."""
        prefix, slash, _ = (self.model or "").partition("/")
        return (prefix,) if slash else ()


class Batch(Struct, frozen=True, kw_only=True):
    """A stored batch; times are microseconds since the epoch."""

    key: int
    """The database key; it grows with each created batch."""
    id: str
    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    """The account for requests that name none."""
    providers: tuple[str, ...] = ()
    """The accounts that its requests go to, and the providers of these accounts; list filters match these names."""
    model: str | None = None
    """The model of all its requests, as they name it; None if they differ, or before a file is validated."""
    parent: str | None = None
    """The id of the batch whose requests it retries; that batch may be deleted. None for any other batch."""
    headers: Mapping[str, str]
    """Headers of the create call that are sent to the provider with each request; names in lower case."""
    status: BatchStatus
    counts: Counts
    reused: int = 0
    """The number of requests that took over a result; they count as succeeded."""
    usage: Usage = Usage()
    first_faults: bytes | None = None
    """The first `InputFault`s of a failed batch, as a JSON array."""
    spend: Spend = Spend()
    """What its answers have cost so far."""
    paid_twice: int = 0
    """The number of requests that a native job answered after they had been called directly in its place."""
    repeated: int
    """The number of answered requests that were sent again, because a process ended before it stored their answers."""
    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    """When its requests were stored or its file was validated; None before."""
    cancel_initiated_at: int | None
    ended_at: int | None
    """When the batch ended or failed."""
    archived_at: int | None
    fingerprint: bytes
    input_blob: str | None
    """None while the batch is validating, and if it failed."""
    input_size: int = 0
    """Bytes of the input blob."""
    input_hash: bytes | None = None
    """A hash of the input (`new_input_hash`); None while the batch is validating, and if an old version wrote it."""
    results_blob: str | None
    results_size: int | None
    """Bytes of the result file; None before the batch is finalized."""
    results_sha256: bytes | None = None
    """SHA-256 of the result file; None before the batch is finalized, and if an earlier version wrote the file."""
    output_size: int | None = None
    """Bytes of the successful lines of the result file."""
    output_file: str | None = None
    """The id of the file that shows the successful lines; only for OpenAI batches that have any."""
    error_file: str | None = None
    """The id of the file that shows all other lines, likewise."""
    budget: int | None = None
    """What its answers may cost before it is paused, in nano-dollars; None for any amount."""
    pause: BatchPause | None = None
    """The pause of the batch, until it is resumed, is canceled, expires or has ended."""
    pace: Pace | None = None
    """The pace of its direct calls; None before the first has ended, while it is paused, and once it has ended."""
    priority: Priority = "normal"
    """Its priority beside other batches."""
    priority_scope: PriorityScope = "workspace"
    """With which batches it competes by its priority."""
    cap: ConcurrencyCap = ConcurrencyCap()
    """How many of its direct calls may be in flight."""
    awaits_plan: bool = False
    """Whether no worker claims its shards until `NativeJobStore.save_plan` says which requests run in which lane."""
    lane_changes: int = 0
    """How often a caller has moved it to another lane. Before the first time, only a plan gives it native jobs."""
    retried_calls: tuple[RetriedCalls, ...] = ()
    """Its calls that failed and were made again, the most frequent reason first."""

    @property
    def unfinished_status(self) -> Literal["canceled", "expired"]:
        """The status of its requests without a result: the batch was canceled or has expired, whichever came first."""
        canceled = self.cancel_initiated_at
        return "canceled" if canceled is not None and canceled < self.expires_at else "expired"

    @property
    def end(self) -> BatchEnd:
        """Why the batch ended: whichever came first, a cancel, its expiry, or its last result."""
        if self.cancel_initiated_at is not None and (self.unfinished_status == "canceled" or not self.counts.total):
            return "canceled"
        return "expired" if self.counts.expired else "completed"

    @property
    def stopped_at(self) -> int:
        """When the batch was canceled or expires, whichever comes first."""
        canceled = self.cancel_initiated_at
        return self.expires_at if canceled is None else min(canceled, self.expires_at)

    @property
    def is_answered(self) -> bool:
        """Whether all of its requests have results, though it may not have ended yet."""
        return self.counts.succeeded + self.counts.errored >= self.counts.total > 0

    @property
    def blobs(self) -> tuple[str, ...]:
        """The names of the blobs that belong to the batch: its input and its results."""
        return tuple(blob for blob in (self.input_blob, self.results_blob) if blob is not None)

    @property
    def stored_bytes(self) -> int:
        """The size of these blobs together."""
        return (self.input_size if self.input_blob is not None else 0) + (self.results_size or 0)


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch that is about to be stored, with its shards."""

    id: str
    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    providers: tuple[str, ...] = ()
    model: str | None = None
    parent: str | None = None
    """The id of the batch whose requests it retries."""
    headers: Mapping[str, str]
    created_at: int
    expires_at: int
    input_blob: str | None
    """None for a batch made from a file, which is validating until `ValidationStore.start_batch`."""
    input_hash: bytes | None = None
    shards: tuple[Shard, ...] = ()
    caller: str = ""
    """The name of the API key that creates the batch; empty if the gateway needs no key."""
    fingerprint: bytes = b""
    """A hash of the requests and options, by which the store recognizes a repeated create."""
    idempotency_key: str | None = None
    """The caller's name for this create; a second create with this name returns the first batch."""
    deduplicate_since: int | None = None
    """For an SDK's retry: an equal batch that was created at or after this time is the same batch."""
    fail_fast: int = 0
    """How many first results for one model pause the batch if they are the same permanent error; 0 for none."""
    planned: bool = False
    """Whether its shards are held until `NativeJobStore.save_plan` says which requests run in which lane."""

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(shard.requests for shard in self.shards)

    @property
    def input_size(self) -> int:
        """The bytes of the input blob."""
        return sum(shard.length for shard in self.shards)


class ValidatedInput(Struct, frozen=True, kw_only=True):
    """The result of a successful validation: the input blob of a batch made from a file, and its shards."""

    input_blob: str
    input_hash: bytes | None = None
    shards: tuple[Shard, ...]
    providers: tuple[str, ...]
    model: str | None = None

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(shard.requests for shard in self.shards)

    @property
    def input_size(self) -> int:
        """The bytes of the input blob."""
        return sum(shard.length for shard in self.shards)


class BatchPage(Struct, frozen=True, kw_only=True):
    """One page of batches, newest first; ``has_more`` concerns the requested direction."""

    batches: tuple[Batch, ...]
    has_more: bool


class BatchFilters(Struct, frozen=True, kw_only=True):
    """Which batches a search finds: those that match everything that is not None."""

    name: str | None = None
    metadata: Mapping[str, str] | None = None
    """Pairs that are all among those of the batch."""
    status: BatchStatus | None = None
    model: str | None = None
    account: str | None = None
    """One of the names in `Batch.providers`."""
    created_after: int = 0
    """The earliest time of creation, in microseconds."""
    created_before: int | None = None
    """The first time of creation that is too late."""


class BatchSearchPage(Struct, frozen=True, kw_only=True):
    """One page of a search, newest first; it may be short, although the search goes on."""

    batches: tuple[Batch, ...]
    next: str | None
    """The id of the batch after which the search goes on; it need not match. None at the end."""


class Backlog(Struct, frozen=True, kw_only=True):
    """The unfinished work."""

    batches: Mapping[tuple[str, BatchStatus], int]
    """The number of unfinished batches, by workspace and status."""
    waiting_shards: int
    """The number of shards that no worker holds."""
    native_jobs: Mapping[tuple[str, JobState], int] = {}
    """The number of active jobs, by account and state."""
    waiting_since: int | None
    """When the oldest batch with such a shard was created; None if there is no such shard."""
