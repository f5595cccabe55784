"""Those who wait in front of a gate: the most urgent first, and behind them those who were refused and rest a while."""

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
"""Who goes first, the smallest: how often a request has stood back, its place in its batch, the key of its batch.

By its place, as shards go by theirs: so the first requests of a new batch go before the later ones of an old batch.
"""

ALL: Final = 1 << 40
"""More than there are requests in any batch."""
KEPT: Final = 64
"""Places that may stand empty before the line closes up."""


class Waiter:
    """Somebody's place in the line."""

    __slots__ = ("admitted", "again", "order", "refused_at", "rest_until", "tokens")

    def __init__(
        self,
        admitted: asyncio.Future[Permit],
        order: Precedence,
        tokens: int,
        rest_until: float,
        refused_at: float,
        *,
        again: bool,
    ) -> None:
        self.admitted = admitted
        self.order = order
        self.tokens = tokens
        self.rest_until = rest_until
        self.again = again
        """Whether its request has failed before."""
        self.refused_at = refused_at
        """When the provider refused it for load; infinity if it rests for another reason."""


class WaitQueue:
    """A heap of those who may go, and one of those who rest; who gave up is passed over."""

    __slots__ = ("_numbers", "_ready", "_resting", "_urgent", "waiting")

    def __init__(self) -> None:
        self._ready: list[tuple[Precedence, int, Waiter]] = []
        self._urgent: AbstractSet[int] = frozenset()
        self._resting: list[tuple[float, int, Waiter]] = []
        self._numbers = count()
        self.waiting = 0
        """How many wait, those who rest included."""

    def __iter__(self) -> Iterator[Waiter]:
        """Go through all who wait, in no order."""
        return (place for _, _, place in (*self._ready, *self._resting) if not place.admitted.done())

    @property
    def next_rested(self) -> float:
        """When the next of those who rest has rested."""
        return self._resting[0][0] if self._resting else inf

    def add(self, place: Waiter, now: float) -> None:
        """Line up."""
        self.waiting += 1
        if place.rest_until > now:
            heappush(self._resting, (place.rest_until, next(self._numbers), place))
        else:
            self._line_up(place)

    def expedite(self, batch_keys: AbstractSet[int]) -> None:
        """Let the requests of these batches go before all others, those that wait already among them."""
        self._urgent = batch_keys
        self._ready = [(self._rank(place.order), number, place) for _, number, place in self._ready]
        heapify(self._ready)

    def _line_up(self, place: Waiter) -> None:
        heappush(self._ready, (self._rank(place.order), next(self._numbers), place))

    def _rank(self, order: Precedence) -> Precedence:
        stood_back, seq, batch_key = order
        return (stood_back, seq - ALL, batch_key) if batch_key in self._urgent else order

    def first(self, now: float, served_since: float) -> Waiter | None:
        """Tell who is next.

        When nobody else waits that is also one who still rests, if calls were served which began after its refusal:
        the rest that it was told to take is then for nothing.
        """
        while self._resting and (self._resting[0][0] <= now or self._resting[0][2].admitted.done()):
            self._line_up(heappop(self._resting)[2])
        while self._ready and self._ready[0][2].admitted.done():
            heappop(self._ready)
        if self._ready:
            return self._ready[0][2]
        if self._resting and self._resting[0][2].refused_at < served_since:
            return self._resting[0][2]
        return None

    def take_first(self) -> None:
        """Remove the one whom `first` told."""
        self.waiting -= 1
        if self._ready:
            heappop(self._ready)
        else:
            heappop(self._resting)

    def give_up(self) -> None:
        """Count one less, whose future was cancelled, and close up when many places stand empty."""
        self.waiting -= 1
        if len(self._ready) + len(self._resting) > 2 * self.waiting + KEPT:
            self._ready = [entry for entry in self._ready if not entry[2].admitted.done()]
            self._resting = [entry for entry in self._resting if not entry[2].admitted.done()]
            heapify(self._ready)
            heapify(self._resting)
