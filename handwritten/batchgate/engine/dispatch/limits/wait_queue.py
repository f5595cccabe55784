"""Calls that wait for a permit of a limiter: ready ones by precedence, and delayed ones by the end of their delay."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from itertools import chain, count
from math import inf
from typing import Final

from batchgate.engine.dispatch.limits.ready_queue import ReadyQueue
from batchgate.engine.dispatch.limits.waiter import Waiter
from batchgate.engine.model.priority import Contenders

MAX_CANCELLED: Final = 64
"""Cancelled waiters, beyond the number of live ones, that may stay in the heaps before they are removed."""


class WaitQueue:
    """A queue of ready waiters and a heap of delayed ones; cancelled waiters are skipped."""

    __slots__ = ("_delayed", "_next_is_delayed", "_numbers", "_ready", "waiting")

    def __init__(self) -> None:
        self._ready = ReadyQueue()
        self._delayed: list[tuple[float, int, Waiter]] = []
        self._next_is_delayed = False
        self._numbers = count()
        self.waiting = 0
        """The number of waiters, delayed ones included, cancelled ones not."""

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over all waiters, in no order."""
        delayed = (waiter for _, _, waiter in self._delayed)
        return (waiter for waiter in chain(self._ready, delayed) if not waiter.admission.done())

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
            self._ready.push(waiter)

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Put the requests of these batches before all others, those that already wait included."""
        self._ready.expedite(batch_keys)

    def set_contenders(self, contenders: Contenders) -> None:
        """Let these batches share the turns of their workspaces by their weights."""
        self._ready.set_contenders(contenders)

    def first(self, now: float, last_success: float) -> Waiter | None:
        """Return the next waiter without removing it; `pop` removes it.

        A delayed waiter is next only if no waiter is ready and a call that started after its refusal was served
        (``last_success``): the delay that the provider asked for is then needless.
        """
        while self._delayed and (self._delayed[0][0] <= now or self._delayed[0][2].admission.done()):
            self._ready.push(heappop(self._delayed)[2])
        waiter = self._ready.first()
        self._next_is_delayed = waiter is None
        if waiter is None and self._delayed and self._delayed[0][2].refused_at < last_success:
            return self._delayed[0][2]
        return waiter

    def pop(self) -> None:
        """Remove the waiter that `first` has just returned."""
        self.waiting -= 1
        if self._next_is_delayed:
            heappop(self._delayed)
        else:
            self._ready.pop()

    def count_cancelled(self) -> None:
        """Count one waiter less, whose future was cancelled; remove cancelled waiters when there are many."""
        self.waiting -= 1
        if len(self._ready) + len(self._delayed) > 2 * self.waiting + MAX_CANCELLED:
            self._ready.prune()
            self._delayed = [entry for entry in self._delayed if not entry[2].admission.done()]
            heapify(self._delayed)
