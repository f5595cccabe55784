"""Bounds the calls of a batch that has a concurrency cap of its own, in this process.

A call takes a place of its batch before it takes a permit of its limiter. So calls that wait for a place hold nothing
that calls of other batches need. Every batch counts its calls, with and without a cap, because it may get one later.
Several workers divide a cap as they divide the limits of the accounts: the parts never add up to more than the cap.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

from batchgate.engine.dispatch.retries import Retries
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.concurrency_cap import ConcurrencyCap, ConcurrencyCaps
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare

NO_CAP: Final = ConcurrencyCap()
AT_ONCE: Final = 1e-6
"""Seconds for which a retry waits that has waited without a place; it still is a retry."""


class CallPlaces:
    """The places for calls of one batch in this process; entered for the time of a call."""

    def __init__(self, part: int | None = None) -> None:
        self._part = part
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_part(self) -> bool:
        """Whether calls of the batch may have places here at all."""
        return self._part != 0

    @property
    def within_part(self) -> bool:
        """Whether no more calls have a place than may have one now; more do for a while after a change."""
        return self._part is None or self._taken <= self._part

    def set_part(self, part: int | None) -> None:
        """Let this many calls have a place, or any number; those that have one keep it."""
        self._part = part
        self._give_places()

    async def __aenter__(self) -> None:
        """Wait for a place, and take it."""
        if self._has_free and not self._waiting:
            self._taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was given in the same moment
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Leave the place to another call."""
        self._leave()

    async def wait_without(self, retries: Retries) -> None:
        """Let a retry wait without a place if there are few; a refused one waits for its limiter."""
        if self._part is not None and not retries.refused:
            await asyncio.sleep(retries.delay)
            retries.delay = min(retries.delay, AT_ONCE)

    @contextmanager
    def taken_at_once(self) -> Iterator[None]:
        """Take a place without a wait: for what runs at the provider already."""
        self._taken += 1
        try:
            yield
        finally:
            self._leave()

    @property
    def _has_free(self) -> bool:
        return self._part is None or self._taken < self._part

    def _leave(self) -> None:
        self._taken -= 1
        self._give_places()

    def _give_places(self) -> None:
        while self._waiting and self._has_free:
            place = self._waiting.popleft()
            if not place.done():
                self._taken += 1
                place.set_result(None)


class BatchCaps:
    """The concurrency caps of batches, and the parts of them that belong to this worker."""

    def __init__(self) -> None:
        self._share = FULL_SHARE
        self._caps: dict[int, ConcurrencyCap] = {}
        """The latest caps that are known, by the keys of the batches."""
        self._places: WeakValueDictionary[int, CallPlaces] = WeakValueDictionary()

    @property
    def parts(self) -> Mapping[int, int]:
        """How many calls of the batches with a cap may be in flight here, by the keys of the batches."""
        return {key: part for key in self._caps if (part := self.part(key)) is not None}

    @property
    def within_parts(self) -> bool:
        """Whether no batch has more calls here than its part."""
        return all(places.within_part for places in self._places.values())

    def part(self, batch_key: int) -> int | None:
        """Return how many calls of a batch may be in flight here; None for any number."""
        limit = self._caps.get(batch_key, NO_CAP).limit
        return None if limit is None else self._share.of(limit)

    def places(self, batch_key: int) -> CallPlaces:
        """Return the places of a batch, the same for all its shards."""
        places = self._places.get(batch_key)
        if places is None:
            places = self._places[batch_key] = CallPlaces(self.part(batch_key))
        return places

    def learn(self, batch: Batch) -> bool:
        """Note the cap of a batch that was read just now; return whether it was not known."""
        return self._note(batch.key, batch.cap)

    def update(self, caps: ConcurrencyCaps) -> frozenset[int]:
        """Note the caps in the store; return the batches whose cap has changed."""
        for key in [key for key in self._caps if key not in caps and key not in self._places]:
            del self._caps[key]  # it has ended
        return frozenset(key for key, cap in caps.items() if self._note(key, cap))

    def set_share(self, share: LimitShare) -> frozenset[int]:
        """Keep to another share of the caps; return the batches whose part has changed."""
        before, self._share = self.parts, share
        changed = frozenset(key for key, part in self.parts.items() if part != before[key])
        for key in changed:
            self._apply(key)
        return changed

    def _note(self, batch_key: int, cap: ConcurrencyCap) -> bool:
        known = self._caps.get(batch_key, NO_CAP)
        if cap == known or cap.changes < known.changes:
            return False
        self._caps[batch_key] = cap
        self._apply(batch_key)
        return True

    def _apply(self, batch_key: int) -> None:
        if (places := self._places.get(batch_key)) is not None:
            places.set_part(self.part(batch_key))
