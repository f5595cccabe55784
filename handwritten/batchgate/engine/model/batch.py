"""Batches: what a caller asks for, what is stored, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.clock import HOUR
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.shard import Shard
from batchgate.engine.model.usage import Counts, Usage

Dialect: TypeAlias = Literal["anthropic", "openai"]
"""The wire format of a batch's lines: its requests and its results."""

BatchStatus: TypeAlias = Literal["validating", "failed", "in_progress", "canceling", "ended"]
"""A batch made from a file is validating at first, and failed if there is anything wrong with the file."""

BatchPart: TypeAlias = Literal["input", "output", "error"]
"""A batch seen as files: its requests, the results of those that succeeded, and the results of all others."""

EXPEDITED_BEFORE_EXPIRY = 2 * HOUR
"""So long before it expires a batch goes before all those that have more time."""


class InputFault(Struct, frozen=True, kw_only=True):
    """What is wrong with the file that a batch was to be made from."""

    code: str
    """A word for the exact fault, such as ``duplicate_custom_id`` (batch-apis 4.3)."""
    message: str
    param: str | None = None
    """The field that is wrong, if it is one."""
    line: int | None = None
    """Where, counted from 1; None for the file as a whole."""


class BatchOptions(Struct, frozen=True, kw_only=True):
    """What a batch was asked for beside its requests; surfaces that have such fields show them."""

    kind: RowKind = "messages"
    """What its requests are requests of."""
    model: str | None = None
    """For requests that name none."""
    metadata: Mapping[str, str] | None = None
    """The caller's own notes."""
    input_file: str | None = None
    """The id of the file that it was made from."""
    output_lifetime: int | None = None
    """Seconds for which its output and error files are kept after its end, if the caller says."""

    @property
    def model_prefixes(self) -> tuple[str, ...]:
        """What stands before a slash in the model, which may name an account."""
        prefix, slash, _ = (self.model or "").partition("/")
        return (prefix,) if slash else ()


class Batch(Struct, frozen=True, kw_only=True):
    """A batch as the store knows it; times are microseconds since the epoch."""

    key: int
    """The order of creation: a larger key is a newer batch."""
    id: str
    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    """The account that runs requests which do not name one themselves."""
    providers: tuple[str, ...] = ()
    """The names by which lists find it: of the accounts that its requests go to, and of their providers."""
    headers: Mapping[str, str]
    """Headers of the create call that go upstream with every request, names in lower case."""
    status: BatchStatus
    counts: Counts
    usage: Usage = Usage()
    first_faults: bytes | None = None
    """The beginning of what was wrong with its file, if it failed: some `InputFault`s, as a JSON array."""
    cost: int = 0
    """What its answers cost so far, in nano-dollars."""
    repeated: int
    """Requests with a result that had been sent before, by a run that did not live to store the answer."""
    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    """When its file had been validated, or its requests taken in; None before."""
    cancel_initiated_at: int | None
    ended_at: int | None
    """When it ended, or failed."""
    archived_at: int | None
    fingerprint: bytes
    input_blob: str | None
    """None while it is validating, and if it failed."""
    input_size: int = 0
    """Bytes of the input."""
    results_blob: str | None
    results_size: int | None
    """Bytes of the result file, once finalized."""
    output_size: int | None = None
    """Bytes of those of its lines that are answers."""
    output_file: str | None = None
    """The id of the file that shows these lines, if the batch has any and its dialect is that of files."""
    error_file: str | None = None
    """The same for the others."""

    @property
    def cut_off(self) -> tuple[Literal["canceled", "expired"], int]:
        """What its requests without a result end as, and since when: whichever came first, the cancel or its time."""
        canceled = self.cancel_initiated_at
        if canceled is not None and canceled < self.expires_at:
            return "canceled", canceled
        return "expired", self.expires_at

    @property
    def blobs(self) -> tuple[str, ...]:
        """The names of the blobs that belong to the batch."""
        return tuple(blob for blob in (self.input_blob, self.results_blob) if blob is not None)

    @property
    def stored_bytes(self) -> int:
        """How many bytes these have."""
        return (self.input_size if self.input_blob is not None else 0) + (self.results_size or 0)


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch about to be stored, with the shards that its input file was cut into."""

    id: str
    workspace: str
    dialect: Dialect
    options: BatchOptions = BatchOptions()
    provider: str
    providers: tuple[str, ...] = ()
    headers: Mapping[str, str]
    created_at: int
    expires_at: int
    input_blob: str | None
    """None for a batch that is made from a file: it is validating until `Store.start_batch`."""
    shards: tuple[Shard, ...] = ()
    caller: str = ""
    """Who creates it: the name of an API key, or nothing where none is needed."""
    fingerprint: bytes = b""
    """A hash of all that makes the batch what it is, by which a repeated create is known."""
    idempotency_key: str | None = None
    """The caller's own name for this create; another create with it is the same one."""
    deduplicate_since: int | None = None
    """For a create that the caller's SDK has sent before: from when on an equal one counts as that."""

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(shard.requests for shard in self.shards)

    @property
    def input_size(self) -> int:
        """The bytes of its input."""
        return sum(shard.length for shard in self.shards)


class ValidatedInput(Struct, frozen=True, kw_only=True):
    """What a batch that was made from a file gets when the file has been validated."""

    input_blob: str
    shards: tuple[Shard, ...]
    providers: tuple[str, ...]

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(shard.requests for shard in self.shards)

    @property
    def input_size(self) -> int:
        """The bytes of its input."""
        return sum(shard.length for shard in self.shards)


class BatchPage(Struct, frozen=True, kw_only=True):
    """Some batches, the newest first, and whether there are more in the direction that was asked for."""

    batches: tuple[Batch, ...]
    has_more: bool


class Backlog(Struct, frozen=True, kw_only=True):
    """What is undone."""

    batches: Mapping[tuple[str, BatchStatus], int]
    """Batches that have not ended, by workspace and status."""
    waiting_shards: int
    """Shards that no worker holds."""
    waiting_since: int | None
    """When the oldest batch with such a shard was created; None when there is none."""
