"""Limits the requests that a worker holds in memory; shards that do not fit are deferred until there is capacity.

Requests that wait for a slow, paused or unreachable model must not use up the capacity for other models. So the
requests to one model of an account (one limiter key) may use at most a third of what the other keys leave free. The
first key gets a third of all, the next one a third of the rest, and some is always left. These are the dynamic
thresholds by which switches share their buffers: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998.

Batches of one workspace that differ in priority have keys of their own for each priority, and so have those that
compete with the batches of all workspaces. So the requests of one that was raised come into memory, although those of a
lower one wait there and move slowly from then on.

A batch with a concurrency cap has a key of its own, and few of its requests are in memory: they move slowly, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from msgspec import Struct

from batchgate.engine.model.priority import CapacityClass, Contenders, Outranked
from batchgate.engine.model.shard import QueuedShard

LimiterKey: TypeAlias = tuple[str, str]
"""The name of an account and the name of a model."""
CapacityKey: TypeAlias = LimiterKey | tuple[str, str, CapacityClass] | tuple[str, str, int]
"""What capacity is counted for: a limiter key, and the priority of batches that compete with others of another one, or
the key of a batch with a concurrency cap."""

MAX_REQUESTS: Final = 8_000
"""Requests in memory, running or waiting: a few kilobytes each beside their input lines."""
MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of their input lines: a few thousand requests with images would be gigabytes."""
CONTENDERS_DIVISOR: Final = 3
"""While batches compete by priority, the capacity is larger by its size divided by this: as much as one key may use."""
FREE_DIVISOR: Final = 2
"""The requests of one limiter key may use up to the free capacity divided by this."""
CAPPED_REQUESTS: Final = 64
"""The requests of a batch with a concurrency cap that are in memory to one model, beside `CAPPED_ROUNDS` of calls."""
CAPPED_ROUNDS: Final = 2


class RequestLoad(Struct):
    """A number of requests, and the bytes of their input lines."""

    requests: int = 0
    size: int = 0

    def add(self, requests: int, size: int) -> None:
        """Add requests and bytes; negative numbers subtract."""
        self.requests += requests
        self.size += size


Demand: TypeAlias = Mapping[CapacityKey, RequestLoad]
"""The requests of a shard that were not admitted, by capacity key."""


class _DeferredQueue:
    """The deferred shards that have requests for one capacity key; some may have been resumed for another key since."""

    __slots__ = ("heap", "members")

    def __init__(self) -> None:
        self.heap: list[tuple[bool, QueuedShard]] = []
        self.members: set[QueuedShard] = set()

    def add(self, job: QueuedShard, urgent: AbstractSet[int]) -> None:
        if job not in self.members:
            self.members.add(job)
            heappush(self.heap, (job.batch_key not in urgent, job))

    def pop(self) -> None:
        self.members.remove(heappop(self.heap)[1])

    def sort(self, urgent: AbstractSet[int]) -> None:
        self.heap = [(job.batch_key not in urgent, job) for _, job in self.heap]
        heapify(self.heap)


class AdmissionControl:
    """Counts the admitted requests, and keeps the deferred shards.

    When there is capacity for a deferred shard, the buffer reserves it and calls ``resume`` with the shard. The
    reservation lasts until `use_reservation` or `forget`.
    """

    def __init__(self, resume: Callable[[Sequence[QueuedShard]], None], *, requests: int = MAX_REQUESTS) -> None:
        self._resume = resume
        self._free = RequestLoad(requests, MAX_BYTES)
        self._room_for_contenders = requests // CONTENDERS_DIVISOR
        self._admitted: dict[CapacityKey, RequestLoad] = {}
        """Reservations included."""
        self._deferred: dict[QueuedShard, Demand] = {}
        self._queues: dict[CapacityKey, _DeferredQueue] = {}
        self._rotation: deque[CapacityKey] = deque()
        """The keys of the queues; the first was examined last."""
        self._reserved: dict[QueuedShard, tuple[CapacityKey, RequestLoad]] = {}
        self._announced: set[QueuedShard] = set()
        self._urgent: frozenset[int] = frozenset()
        self._contenders: Contenders = {}
        self._caps: Mapping[int, int] = {}
        """How many calls of batches with a concurrency cap may be in flight here."""
        self._outranked = Outranked({})
        """The batches that others go before."""
        self.none_deferred = asyncio.Event()
        """Set while no shard is deferred, and none is announced that may have to be.

        One deferred shard of a batch that others of its workspace go before does not count, nor does one of each batch
        with a concurrency cap: it may wait for long.
        """
        self.none_deferred.set()

    @property
    def deferred(self) -> tuple[QueuedShard, ...]:
        """The deferred shards."""
        return tuple(self._deferred)

    def announce(self, job: QueuedShard) -> None:
        """Record a claimed shard whose requests will be admitted or deferred once its input is read."""
        self._announced.add(job)
        self._update_none_deferred()

    def capacity_key(self, key: LimiterKey, batch_key: int) -> CapacityKey:
        """Return what the capacity for requests of a batch is counted for now."""
        if batch_key in self._caps:
            return (*key, batch_key)
        contender = self._contenders.get(batch_key)
        own = None if contender is None else contender.capacity_class
        return key if own is None else (*key, own)

    def try_admit(self, key: CapacityKey, size: int) -> bool:
        """Admit a request of ``size`` bytes if there is capacity for its key; the only one of its key always fits."""
        if key in self._admitted and not self._fits(key, 1, 0):
            return False
        self._count(key, 1, size)
        return True

    def release(self, key: CapacityKey, size: int) -> None:
        """Return the capacity of a request that has ended, and resume shards that fit now."""
        self._count(key, -1, -size)
        if self._rotation:
            self._rotation.rotate()
            self._resume_first(self._rotation[0])
            self._resume_first(key)

    def use_reservation(self, job: QueuedShard) -> None:
        """End the reservation of a shard, whose requests the caller admits at once; otherwise call `forget`."""
        self._announced.discard(job)
        if (reserved := self._reserved.pop(job, None)) is not None:
            key, amount = reserved
            self._count(key, -amount.requests, -amount.size)
        self._update_none_deferred()

    def defer(self, job: QueuedShard, demand: Demand) -> None:
        """Defer the rest of a shard until there is capacity for one of its capacity keys."""
        self._add_deferred(job, demand)
        for key in demand:
            self._resume_first(key)
        self._update_none_deferred()

    def forget(self, job: QueuedShard) -> None:
        """Drop a shard that is done or belongs to another worker; its reserved capacity goes to other shards."""
        self._deferred.pop(job, None)
        reserved = self._reserved.get(job)
        self.use_reservation(job)
        if reserved is not None:
            self._resume_first(reserved[0])

    def resume_batch(self, batch_key: int) -> None:
        """Resume all deferred shards of a stopped batch: they need no capacity, as no request will be admitted."""
        resumed = [job for job in self._deferred if job.batch_key == batch_key]
        for job in resumed:
            del self._deferred[job]
        self._update_none_deferred()
        self._resume(resumed)

    def expedite(self, batch_keys: Sequence[int]) -> None:
        """Resume the shards of these batches before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            for queue in self._queues.values():
                queue.sort(urgent)

    def set_contenders(self, contenders: Contenders) -> None:
        """Give these batches capacity by priority, and resume the deferred shards that fit now."""
        if bool(contenders) != bool(self._contenders):
            self._free.add(self._room_for_contenders if contenders else -self._room_for_contenders, 0)
        self._contenders, self._outranked = contenders, Outranked(contenders)
        self._defer_anew()

    def set_caps(self, caps: Mapping[int, int]) -> None:
        """Give batches with a concurrency cap capacity of their own, and resume the deferred shards that fit now.

        ``caps`` has how many of their calls may be in flight here.
        """
        if caps != self._caps:
            self._caps = caps
            self._defer_anew()

    def _defer_anew(self) -> None:
        """Count the deferred shards under the keys that their requests have now, and resume those that fit."""
        deferred = tuple(self._deferred.items())
        self._queues.clear()
        self._rotation.clear()
        for job, demand in deferred:
            loads = demand.items()
            self._add_deferred(job, {self.capacity_key((key[0], key[1]), job.batch_key): load for key, load in loads})
        for key in tuple(self._queues):
            self._resume_first(key)
        self._update_none_deferred()

    def _add_deferred(self, job: QueuedShard, demand: Demand) -> None:
        self._deferred[job] = demand
        for key in demand:
            if key not in self._queues:
                self._queues[key] = _DeferredQueue()
                self._rotation.append(key)
            self._queues[key].add(job, self._urgent)

    def _resume_first(self, key: CapacityKey) -> None:
        """Resume the first deferred shard of a key if all its requests for the key fit, or if the key uses nothing."""
        job = self._first_deferred(key)
        if job is None:
            return
        amount = self._resumed_at_once(key, self._deferred[job][key])
        if key not in self._admitted or self._fits(key, amount.requests, amount.size):
            del self._deferred[job]
            self._reserved[job] = key, amount
            self._count(key, amount.requests, amount.size)
            self._update_none_deferred()
            self._resume((job,))

    def _resumed_at_once(self, key: CapacityKey, load: RequestLoad) -> RequestLoad:
        """Return what there must be capacity for to resume a shard: half of what a batch with a cap may have."""
        bound = self._bound(key)
        if bound is None or 2 * load.requests <= bound:
            return load
        return RequestLoad(bound // 2, load.size * (bound // 2) // load.requests)

    def _bound(self, key: CapacityKey) -> int | None:
        """Return how many requests of a batch with a concurrency cap may be in memory to one model."""
        cap = self._caps.get(key[2]) if len(key) == 3 and isinstance(key[2], int) else None
        return None if cap is None else CAPPED_REQUESTS + CAPPED_ROUNDS * cap

    def _first_deferred(self, key: CapacityKey) -> QueuedShard | None:
        queue = self._queues.get(key)
        if queue is None:
            return None
        while queue.heap and key not in self._deferred.get(queue.heap[0][1], ()):
            queue.pop()
        if queue.heap:
            return queue.heap[0][1]
        del self._queues[key]
        self._rotation.remove(key)
        return None

    def _fits(self, key: CapacityKey, requests: int, size: int) -> bool:
        """Return whether `try_admit` would still admit the last of this many requests."""
        admitted, free = self._admitted.get(key) or RequestLoad(), self._free
        bound = self._bound(key)
        if bound is not None and admitted.requests + requests > bound:
            return False
        if FREE_DIVISOR * (admitted.size + size) > free.size - size:
            return False
        return FREE_DIVISOR * (admitted.requests + requests) <= free.requests - (requests - 1)

    def _count(self, key: CapacityKey, requests: int, size: int) -> None:
        admitted = self._admitted.get(key)
        if admitted is None:
            admitted = self._admitted[key] = RequestLoad()
        admitted.add(requests, size)
        self._free.add(-requests, -size)
        if not admitted.requests:
            del self._admitted[key]

    def _update_none_deferred(self) -> None:
        if self._announced or self._any_deferred():
            self.none_deferred.clear()
        else:
            self.none_deferred.set()

    def _any_deferred(self) -> bool:
        found: set[int] = set()
        for job in self._deferred:
            waits_long = job.batch_key in self._caps or (job.batch_key in self._outranked and not found)
            if not waits_long or job.batch_key in found:
                return True
            found.add(job.batch_key)
        return False
