"""The concurrency cap of a batch: how many of its direct calls may be in flight, over all workers together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

MAX_CONCURRENCY: Final = 100_000
"""The highest cap: no account allows more calls in flight."""


class ConcurrencyCap(Struct, frozen=True):
    """The cap of a batch at some time; of two, the one with more changes is the later one."""

    limit: int | None = None
    """The most calls in flight; None for any number."""
    changes: int = 0
    """How often it was changed since the batch was created."""


ConcurrencyCaps: TypeAlias = Mapping[int, ConcurrencyCap]
"""The caps of batches, by their keys."""
