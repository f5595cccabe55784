"""Waiters whose delay has ended, by precedence; batches of one workspace that differ in priority share its turns."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from batchgate.engine.dispatch.limits.waiter import Precedence, Waiter
from batchgate.engine.dispatch.limits.workspace_turns import Entry, WorkspaceTurns
from batchgate.engine.model.priority import Contenders

URGENT_OFFSET: Final = 1 << 40
"""More than there are requests in any batch."""


class ReadyQueue:
    """A heap of waiters, and the `WorkspaceTurns` of workspaces; cancelled waiters are skipped."""

    __slots__ = ("_contenders", "_heap", "_numbers", "_turns", "_urgent", "_workspaces")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._workspaces: dict[str, WorkspaceTurns] = {}
        self._turns: WorkspaceTurns | None = None
        """The workspace whose waiter `first` has returned, if it was one of these."""
        self._numbers = count()
        self._urgent: AbstractSet[int] = frozenset()
        self._contenders: Contenders = {}

    def __len__(self) -> int:
        """Return the number of waiters, cancelled ones included."""
        return len(self._heap) + sum(len(turns) for turns in self._workspaces.values())

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over the waiters, in no order."""
        yield from (waiter for _, _, waiter in self._heap)
        for turns in self._workspaces.values():
            yield from turns

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Put the requests of these batches before all others."""
        self._urgent = batch_keys
        self._sort()

    def set_contenders(self, contenders: Contenders) -> None:
        """Let these batches share the turns of their workspaces by their weights."""
        self._contenders = contenders
        self._sort()

    def push(self, waiter: Waiter) -> None:
        """Add a waiter."""
        demotions, seq, batch_key = precedence = waiter.precedence
        if batch_key in self._urgent:
            self._push(waiter, (demotions, seq - URGENT_OFFSET, batch_key))
        elif demotions or (contender := self._contenders.get(batch_key)) is None:
            self._push(waiter, precedence)
        else:
            turns = self._workspaces.setdefault(contender.workspace, WorkspaceTurns())
            turns.push((precedence, next(self._numbers), waiter), contender.weight)

    def first(self) -> Waiter | None:
        """Return the next waiter without removing it; `pop` removes it."""
        heap = self._heap
        while heap and heap[0][2].admission.done():
            heappop(heap)
        if self._workspaces:
            return self._first_of_all()
        return heap[0][2] if heap else None

    def pop(self) -> None:
        """Remove the waiter that `first` has just returned."""
        if self._turns is None:
            heappop(self._heap)
        else:
            self._turns.pop()

    def prune(self) -> None:
        """Remove the cancelled waiters."""
        self._heap = [entry for entry in self._heap if not entry[2].admission.done()]
        heapify(self._heap)
        for turns in self._workspaces.values():
            turns.prune()

    def _first_of_all(self) -> Waiter | None:
        self._turns = None
        rank, waiter = (self._heap[0][0], self._heap[0][2]) if self._heap else (None, None)
        for turns in self._workspaces.values():
            found = turns.first()
            if found is not None and (rank is None or found[0] < rank):
                (rank, waiter), self._turns = found, turns
        return waiter

    def _push(self, waiter: Waiter, rank: Precedence) -> None:
        heappush(self._heap, (rank, next(self._numbers), waiter))

    def _sort(self) -> None:
        waiters = [waiter for waiter in self if not waiter.admission.done()]
        self._heap, self._workspaces, self._turns = [], {}, None
        for waiter in waiters:
            self.push(waiter)
