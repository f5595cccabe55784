"""Waiters whose delay has ended, by precedence; batches that differ in priority share turns."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from batchgate.engine.dispatch.limits.gateway_turns import GatewayTurns
from batchgate.engine.dispatch.limits.waiter import Precedence, Waiter
from batchgate.engine.dispatch.limits.workspace_turns import Entry, WorkspaceTurns
from batchgate.engine.model.priority import Contender, Contenders

URGENT_OFFSET: Final = 1 << 40
"""More than there are requests in any batch."""


class ReadyQueue:
    """A heap of waiters, and the `WorkspaceTurns` of workspaces, and `GatewayTurns`; cancelled waiters are skipped."""

    __slots__ = ("_contenders", "_gateway", "_heap", "_numbers", "_turns", "_urgent", "_workspaces")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._workspaces: dict[str, WorkspaceTurns] = {}
        self._gateway: GatewayTurns | None = None
        """The waiters of the batches that compete with all others; None while there were none."""
        self._turns: WorkspaceTurns | None = None
        """The turns whose waiter `first` has returned, if it was one of these."""
        self._numbers = count()
        self._urgent: AbstractSet[int] = frozenset()
        self._contenders: Contenders = {}

    def __len__(self) -> int:
        """Return the number of waiters, cancelled ones included."""
        return len(self._heap) + sum(len(turns) for turns in self._all_turns())

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over the waiters, in no order."""
        yield from (waiter for _, _, waiter in self._heap)
        for turns in self._all_turns():
            yield from turns

    def _all_turns(self) -> Iterator[WorkspaceTurns]:
        yield from self._workspaces.values()
        if self._gateway is not None:
            yield self._gateway

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Put the requests of these batches before all others."""
        self._urgent = batch_keys
        self._sort()

    def set_contenders(self, contenders: Contenders) -> None:
        """Let these batches share the turns of their workspaces, or of the gateway, by their weights."""
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
            turns = self._turns_of(contender)
            turns.push((precedence, next(self._numbers), waiter), contender.weight)

    def first(self) -> Waiter | None:
        """Return the next waiter without removing it; `pop` removes it."""
        heap = self._heap
        while heap and heap[0][2].admission.done():
            heappop(heap)
        if self._workspaces or self._gateway is not None:
            return self._first_of_all()
        return heap[0][2] if heap else None

    def _turns_of(self, contender: Contender) -> WorkspaceTurns:
        if contender.scope == "workspace":
            return self._workspaces.setdefault(contender.workspace, WorkspaceTurns())
        if self._gateway is None:
            self._gateway = GatewayTurns()
        return self._gateway

    def pop(self) -> None:
        """Remove the waiter that `first` has just returned."""
        if self._turns is None:
            heappop(self._heap)
        else:
            self._turns.pop()
        if self._gateway is not None and self._turns is not self._gateway:
            self._gateway.charge_others()

    def prune(self) -> None:
        """Remove the cancelled waiters."""
        self._heap = [entry for entry in self._heap if not entry[2].admission.done()]
        heapify(self._heap)
        for turns in self._all_turns():
            turns.prune()

    def _first_of_all(self) -> Waiter | None:
        self._turns = None
        rank, waiter = (self._heap[0][0], self._heap[0][2]) if self._heap else (None, None)
        for turns in self._workspaces.values():
            found = turns.first()
            if found is not None and (rank is None or found[0] < rank):
                (rank, waiter), self._turns = found, turns
        if self._gateway is not None and (raised := self._gateway.first_before(rank)) is not None:
            self._turns = self._gateway
            return raised
        return waiter

    def _push(self, waiter: Waiter, rank: Precedence) -> None:
        heappush(self._heap, (rank, next(self._numbers), waiter))

    def _sort(self) -> None:
        waiters = [waiter for waiter in self if not waiter.admission.done()]
        self._heap, self._workspaces, self._gateway, self._turns = [], {}, None, None
        for waiter in waiters:
            self.push(waiter)
