"""Shares the calls of one workspace among its batches that differ in priority.

Beside other workspaces, its calls go together: their precedence is the mean of what the batches would have on their
own. So what one batch gets more, others of the same workspace get less. Among these batches the shares are as their
weights, by start-time fair queueing: Goyal, Vin and Cheng, IEEE/ACM Transactions on Networking 5, 1997.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from batchgate.engine.dispatch.limits.waiter import Precedence, Waiter

Entry: TypeAlias = tuple[Precedence, int, Waiter]
"""The rank of a ready waiter, a number that tells equal ranks apart, and the waiter."""


class _BatchTurns:
    """The ready waiters of one batch."""

    __slots__ = ("due", "heap", "step")

    def __init__(self, weight: int) -> None:
        self.heap: list[Entry] = []
        self.step = 1 / weight
        """How much later the next call is due after each call."""
        self.due = 0.0
        """When its next call is due, in virtual time."""

    def first(self) -> Entry | None:
        while self.heap and self.heap[0][2].admission.done():
            heappop(self.heap)
        return self.heap[0] if self.heap else None


class WorkspaceTurns:
    """The ready waiters of the batches of one workspace that differ in priority."""

    __slots__ = ("_batches", "_next", "_now")

    def __init__(self) -> None:
        self._batches: dict[int, _BatchTurns] = {}
        self._next: _BatchTurns | None = None
        self._now = 0.0
        """When the last call was due, in virtual time."""

    def __len__(self) -> int:
        """Return the number of waiters, cancelled ones included."""
        return sum(len(batch.heap) for batch in self._batches.values())

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over the waiters, in no order."""
        return (waiter for batch in self._batches.values() for _, _, waiter in batch.heap)

    def push(self, entry: Entry, weight: int) -> None:
        """Add a ready waiter of a batch with this weight."""
        key = entry[0][-1]
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _BatchTurns(weight)
        if not batch.heap:  # a batch that had no calls to make has saved up nothing
            batch.due = max(batch.due, self._now)
        heappush(batch.heap, entry)

    def first(self) -> tuple[Precedence, Waiter] | None:
        """Return the next waiter without removing it, and the precedence of the workspace's calls beside others."""
        seqs, oldest, self._next = [], 0, None
        for key, batch in self._batches.items():
            if (entry := batch.first()) is None:
                continue
            seqs.append(entry[0][1])
            oldest = min(key, oldest or key)
            if self._next is None or (batch.due, batch.step) < (self._next.due, self._next.step):
                self._next = batch
        if self._next is None:
            return None
        return (0, sum(seqs) // len(seqs), oldest), self._next.heap[0][2]

    @property
    def next_due(self) -> float:
        """When the call is due that `first` has just returned, in virtual time."""
        assert self._next is not None
        return self._next.due

    def pop(self) -> None:
        """Remove the waiter that `first` has just returned."""
        assert self._next is not None
        heappop(self._next.heap)
        self._now = self._next.due
        self._next.due += self._next.step

    def prune(self) -> None:
        """Remove the cancelled waiters, and the batches without any."""
        for batch in self._batches.values():
            batch.heap = [entry for entry in batch.heap if not entry[2].admission.done()]
            heapify(batch.heap)
        self._batches = {key: batch for key, batch in self._batches.items() if batch.heap}
