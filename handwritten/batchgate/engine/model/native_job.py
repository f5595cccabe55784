"""Jobs of the native lane: requests of one batch that travel together in a job of the provider's own batch API."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.provider_call import RowKind

Lane: TypeAlias = Literal["auto", "direct", "native"]
"""How requests may run: one call each, in jobs of the provider's batch API, or as it is cheaper and fits."""

JobState: TypeAlias = Literal["planned", "submitting", "running", "collecting", "done", "failed", "withdrawn"]
"""The states of a job; the last three are final.

``planned``: nothing was sent. ``submitting``: its file or the job itself may exist upstream. ``running``: the provider
has it. ``collecting``: it has ended upstream, and its results are being read. ``done``: its results are stored.
``failed``: it ended without an answer to all of its requests. ``withdrawn``: we took it back.
"""

ACTIVE_STATES: Final[frozenset[JobState]] = frozenset({"planned", "submitting", "running", "collecting"})
"""The states in which no other lane sends the requests of a job."""

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
    refusals: int = 0
    """How often the provider refused it for its limit of enqueued tokens."""
    answered: int = 0
    """Requests whose results the job delivered."""
    reason: str | None = None
    """Why it failed or was withdrawn, in words for people."""


class PlannedRow(Struct, frozen=True, kw_only=True):
    """One request of a job, encoded for the provider."""

    row_id: str
    line: bytes
    """Its line of the job file, or its element of the list of requests; without LF."""
    headers: Mapping[str, str] = {}
    """Headers of the create call, the same for all requests of a job: the create call sends those of the first one."""


def row_id(seq: int) -> str:
    """Return the id by which a request travels; nothing of the caller's own id leaves the gateway."""
    return f"{ROW_ID_PREFIX}{seq}"


def seq_of(identifier: str) -> int | None:
    """Return the seq of a row id; None for a text that is none of ours."""
    digits = identifier.removeprefix(ROW_ID_PREFIX)
    if digits == identifier or not digits.isascii() or not digits.isdigit() or (digits[0] == "0" and digits != "0"):
        return None
    return int(digits)


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
    runs = msgspec.msgpack.decode(zlib.decompress(packed), type=list[int])
    seqs: list[int] = []
    position = 0
    for gap, length in zip(runs[::2], runs[1::2], strict=True):
        position += gap
        seqs += range(position, position + length)
        position += length
    return seqs
