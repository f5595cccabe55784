"""Jobs of the native lane: requests of one batch that travel together in a job of the provider's own batch API."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.provider_call import RowKind

JobState: TypeAlias = Literal["planned", "submitting", "running", "collecting", "done", "failed", "withdrawn"]
"""The states of a job; the last three are final.

``planned``: nothing was sent. ``submitting``: its file or the job itself may exist upstream. ``running``: the provider
has it. ``collecting``: it has ended upstream, and its results are being read. ``done``: its results are stored.
``failed``: it ended without an answer to all of its requests. ``withdrawn``: we took it back.
"""

ACTIVE_STATES: Final[frozenset[JobState]] = frozenset({"planned", "submitting", "running", "collecting"})
"""The states in which no other lane sends the requests of a job."""

FINAL_STATES: Final[frozenset[JobState]] = frozenset({"done", "failed", "withdrawn"})

MAX_ROW_DIGITS: Final = 18
"""More digits than any seq has; a number of thousands of digits would not be read."""
ROW_ID_PREFIX: Final = "r"
"""Row ids begin with a letter: a provider returned "0" for "000000" (native-lanes 0.4)."""


class NativeJob(Struct, frozen=True, kw_only=True):
    """One job; times are microseconds since the epoch."""

    key: int = 0
    """The database key; 0 before the job is stored."""
    batch_key: int
    token: str
    """Our name of the job, by which it is found upstream."""
    account: str
    model: str
    """The model as the provider knows it."""
    kind: RowKind
    """The kind of the requests that are sent, after any translation."""
    seqs: bytes
    """The seqs of its requests, as `pack_set` makes them."""
    requests: int
    tokens: int
    """Estimated input tokens, for the provider's limit of enqueued tokens."""
    state: JobState = "planned"
    epoch: int = 0
    """The fencing token: it grows whenever a process takes the active jobs over, and writes with an older one fail."""
    credential: str = ""
    """A hash of the URL and the key that made the job: other credentials cannot see it."""
    upstream_file: str | None = None
    """The id of the input file upstream."""
    upstream_id: str | None = None
    """The id of the job upstream."""
    upstream_status: str | None = None
    """The provider's own word for its state."""
    creating_at: int | None = None
    """When the call began that creates the job upstream; it may exist from then on."""
    created_at: int
    submitted_at: int | None = None
    ended_at: int | None = None
    cancel_requested_at: int | None = None
    sent: int | None = None
    """The rows of the complete body that was sent last; None while no body was complete, so that no job can exist."""
    uploads: int = 0
    """How often all of its rows were sent in an upload, or in a create call that carries them."""
    cleaned: bool = False
    """Whether nothing of the job is left upstream, as far as its clean-up could tell."""
    refusals: int = 0
    """How often the provider refused it for its limit of enqueued tokens."""
    answered: int = 0
    """Requests whose results the job delivered."""
    reason: str | None = None
    """Why it failed or was withdrawn, or what it waits for, in words for people."""
    account_missed_at: int | None = None
    """Since when the settings do not have its account; None while they have it."""
    paid_twice: int | None = None
    """Requests that it answered after others had been called in their place; None while that is not known."""
    replans: bool = False
    """Whether requests that it leaves unanswered go into another job, unless the lane of its batch is ``direct``.

    It was canceled for a pause, or because its batch was moved, which may be moved back meanwhile."""

    @property
    def may_exist(self) -> bool:
        """Whether a create call was begun whose body was complete: the job may be upstream, whatever the answer."""
        return self.creating_at is not None and self.sent is not None

    @property
    def is_upstream(self) -> bool:
        """Whether the provider has or may have the job, and its results are not stored yet."""
        return self.state in {"running", "collecting"} or (self.state == "submitting" and self.may_exist)

    @property
    def may_have_lost_files(self) -> bool:
        """Whether files of it may be upstream whose ids are not known: the answers to their uploads were lost."""
        return self.uploads > (self.upstream_file is not None)


class PlannedRow(Struct, frozen=True, kw_only=True):
    """One request of a job, encoded for the provider."""

    row_id: str
    line: bytes
    """Its line of the job file, or its element of the list of requests; without LF."""
    headers: Mapping[str, str] = {}
    """Headers of the create call, the same for all requests of a job: the create call sends those of the first one."""


def row_id(token: str, seq: int) -> str:
    """Return the id by which a request travels: it proves that a result is ours, and hides the caller's id."""
    return f"{ROW_ID_PREFIX}{seq}-{token}"


def seq_of(token: str, identifier: str) -> int | None:
    """Return the seq of a row id of the job with this token; None for any other text."""
    digits = identifier[len(ROW_ID_PREFIX) : -len(token) - 1]
    if len(digits) > MAX_ROW_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    seq = int(digits)
    return seq if identifier == row_id(token, seq) else None


def pack_set(seqs: Iterable[int]) -> bytes:
    """Return a set of seqs as a few bytes: the lengths of its runs and of the gaps between them, compressed."""
    runs: list[int] = []
    expected = 0
    for seq in sorted(seqs):
        if runs and seq == expected:
            runs[-1] += 1
        else:
            runs += (seq - expected, 1)
        expected = seq + 1
    return zlib.compress(msgspec.msgpack.encode(runs))


def unpack_set(packed: bytes) -> list[int]:
    """Return the seqs that `pack_set` has packed, in order."""
    return [seq for run in _runs(packed) for seq in run]


def unpack_between(packed: bytes, start: int, stop: int) -> list[int]:
    """Return the seqs of a packed set from ``start`` to before ``stop``, in order."""
    return [seq for run in _runs(packed) for seq in range(max(run.start, start), min(run.stop, stop))]


def bounds_of(packed: bytes) -> tuple[int, int]:
    """Return the first and the last seq of a packed set that is not empty."""
    runs = list(_runs(packed))
    return runs[0].start, runs[-1].stop - 1


def _runs(packed: bytes) -> Iterator[range]:
    """Yield the runs of consecutive seqs of a packed set."""
    numbers = msgspec.msgpack.decode(zlib.decompress(packed), type=list[int])
    position = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += gap + length
        yield range(position - length, position)
