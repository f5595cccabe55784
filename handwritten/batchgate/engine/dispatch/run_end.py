"""How a run of a shard ended, by which the worker knows what becomes of its job."""

from __future__ import annotations

from enum import Enum, auto


class RunEnd(Enum):
    """How a run of a shard ended."""

    DONE = auto()
    """The shard is done."""
    FINALIZABLE = auto()
    """The shard is done, and was the last one of its batch."""
    DEFERRED = auto()
    """Some requests ran; the others are deferred on this worker."""
    NOT_ADMITTED = auto()
    """No request was admitted, as there was no capacity for any of them."""
    NO_SHARE = auto()
    """This worker has no share of the limits of the accounts that the remaining requests are for, or no part of the
    concurrency cap of the batch."""
    CLAIM_LOST = auto()
    """Another worker has claimed the shard."""
    WITHHELD = auto()
    """The remaining requests travel in jobs of the native lane; the shard is held until one of these ends."""
    PAUSED = auto()
    """The shard was released because its batch is paused."""
    STOPPED = auto()
    """The shard was released before it was done."""
