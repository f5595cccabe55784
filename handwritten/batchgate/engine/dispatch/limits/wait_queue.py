"""Calls that wait for a permit of a limiter: ready ones by precedence, and delayed ones by the end of their delay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Final, TypeAlias

from batchgate.engine.dispatch.limits.permit import Permit

Precedence: TypeAlias = tuple[int, int, int]
"""The order of calls, the smallest first: demotions of the request, its index in its batch, the key of the batch.

The index counts before the batch, as shards are claimed by their index too. So the first requests of a new batch go
before the later ones of an old batch.
"""

URGENT_OFFSET: Final = 1 << 40
"""More than there are requests in any batch."""
MAX_CANCELLED: Final = 64
"""Cancelled waiters, beyond the number of live ones, that may stay in the heaps before they are removed."""


class Waiter:
    """A call that waits."""

    __slots__ = ("admission", "is_retry", "not_before", "precedence", "refused_at", "tokens")

    def __init__(
        self,
        admission: asyncio.Future[Permit],
        precedence: Precedence,
        tokens: int,
        not_before: float,
        refused_at: float,
        *,
        is_retry: bool,
    ) -> None:
        self.admission = admission
        """Resolves to the permit; cancelled when the caller stops waiting."""
        self.precedence = precedence
        self.tokens = tokens
        self.not_before = not_before
        """When its delay ends."""
        self.is_retry = is_retry
        """Whether an earlier call for the same request has failed."""
        self.refused_at = refused_at
        """When the provider refused it for load; infinity if it is delayed for another reason."""


class WaitQueue:
    """A heap of ready waiters and a heap of delayed ones; cancelled waiters are skipped."""

    __slots__ = ("_delayed", "_numbers", "_ready", "_urgent", "waiting")

    def __init__(self) -> None:
        self._ready: list[tuple[Precedence, int, Waiter]] = []
        self._urgent: AbstractSet[int] = frozenset()
        self._delayed: list[tuple[float, int, Waiter]] = []
        self._numbers = count()
        self.waiting = 0
        """The number of waiters, delayed ones included, cancelled ones not."""

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over all waiters, in no order."""
        return (waiter for _, _, waiter in (*self._ready, *self._delayed) if not waiter.admission.done())

    @property
    def next_ready_at(self) -> float:
        """When the next delayed waiter becomes ready; infinity if none is delayed."""
        return self._delayed[0][0] if self._delayed else inf

    def add(self, waiter: Waiter, now: float) -> None:
        """Add a waiter."""
        self.waiting += 1
        if waiter.not_before > now:
            heappush(self._delayed, (waiter.not_before, next(self._numbers), waiter))
        else:
            self._push_ready(waiter)

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Put the requests of these batches before all others, those that already wait included."""
        self._urgent = batch_keys
        self._ready = [(self._rank(waiter.precedence), number, waiter) for _, number, waiter in self._ready]
        heapify(self._ready)

    def first(self, now: float, last_success: float) -> Waiter | None:
        """Return the next waiter without removing it; `pop` removes it.

        A delayed waiter is next only if no waiter is ready and a call that started after its refusal was served
        (``last_success``): the delay that the provider asked for is then needless.
        """
        while self._delayed and (self._delayed[0][0] <= now or self._delayed[0][2].admission.done()):
            self._push_ready(heappop(self._delayed)[2])
        while self._ready and self._ready[0][2].admission.done():
            heappop(self._ready)
        if self._ready:
            return self._ready[0][2]
        if self._delayed and self._delayed[0][2].refused_at < last_success:
            return self._delayed[0][2]
        return None

    def pop(self) -> None:
        """Remove the waiter that `first` has just returned."""
        self.waiting -= 1
        if self._ready:
            heappop(self._ready)
        else:
            heappop(self._delayed)

    def count_cancelled(self) -> None:
        """Count one waiter less, whose future was cancelled; remove cancelled waiters when there are many."""
        self.waiting -= 1
        if len(self._ready) + len(self._delayed) > 2 * self.waiting + MAX_CANCELLED:
            self._ready = [entry for entry in self._ready if not entry[2].admission.done()]
            self._delayed = [entry for entry in self._delayed if not entry[2].admission.done()]
            heapify(self._ready)
            heapify(self._delayed)

    def _push_ready(self, waiter: Waiter) -> None:
        heappush(self._ready, (self._rank(waiter.precedence), next(self._numbers), waiter))

    def _rank(self, precedence: Precedence) -> Precedence:
        demotions, seq, batch_key = precedence
        return (demotions, seq - URGENT_OFFSET, batch_key) if batch_key in self._urgent else precedence
