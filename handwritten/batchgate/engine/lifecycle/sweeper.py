"""What time does to batches and files: batches expire after a day, their results are archived after 29; files expire.

Whatever was left over, or not handed over, is found here as well. Among several processes one sweeps for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress

from batchgate.engine.model.batch import EXPEDITED_BEFORE_EXPIRY
from batchgate.engine.model.clock import DAY, Clock
from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.store import Store
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.failpoints import hit
from batchgate.engine.support.health_problems import ReportHealth

logger = logging.getLogger(__name__)

RETENTION = 29 * DAY
"""From the creation of a batch to the end of its results and of its input."""
INTERVAL = 1.0  # seconds between two looks when nothing falls due
ENQUEUE_MISSING_INTERVAL = 60.0
"""Seconds between two looks for shards that nobody would run; there are none unless a job was lost."""
LEASE = "sweeping"


class Sweeper:
    """Does what is due when it is due, and looks around once a second."""

    def __init__(
        self,
        *,
        store: Store,
        orphan_blobs: OrphanBlobs,
        clock: Clock,
        cluster: Cluster,
        stop_sending: Callable[[int], None],
        finalize: Callable[[int], None],
        validate: Callable[[int], None],
        expedite: Callable[[Sequence[int]], Awaitable[None]],
        restore: Callable[[], Awaitable[None]],
        report: ReportHealth,
    ) -> None:
        self._store = store
        self._orphan_blobs = orphan_blobs
        self._clock = clock
        self._cluster = cluster
        self._stop_sending = stop_sending
        self._finalize = finalize
        self._validate = validate
        self._expedite_batches = expedite
        self._restore_jobs = restore
        self._report = report
        self._due: int | None = None
        self._restored_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._wait_for(self._due if await self._sweep() else None)

    async def _sweep(self) -> bool:
        """Sweep if nobody else does; True if all was done. What is due and could not be done is not tried at once."""
        # By one time for all: what falls due meanwhile is due at once, and not passed over.
        now = self._clock.now()
        # Each process has its own lines, in which batches wait.
        await self._do(self._expedite, now)
        return await self._is_the_one() and all([await self._do(step, now) for step in self._steps()])

    async def _is_the_one(self) -> bool:
        try:
            is_the_one = await self._cluster.acquire_lease(LEASE)
        except StoreError as error:
            self._report("sweeping", error, of=LEASE)
            return False
        self._report("sweeping", None, of=LEASE)
        return is_the_one

    def _steps(self) -> tuple[Callable[[int], Awaitable[None]], ...]:
        batches = (self._expire, self._hand_over, self._archive)
        return (*batches, self._expire_files, self._clean, self._restore, self._look_ahead)

    async def _do(self, step: Callable[[int], Awaitable[None]], now: int) -> bool:
        """Take one step; if it fails, the others are taken all the same, and it is tried again with the next look."""
        try:
            await step(now)
        except (StoreError, BlobError) as error:
            self._report("sweeping", error, of=step.__name__)
        except Exception as error:
            logger.exception("sweeping failed in the gateway itself", extra={"action": "sweep_failed"})
            self._report("sweeping", error, of=step.__name__)
        else:
            self._report("sweeping", None, of=step.__name__)
            return True
        return False

    async def _expire(self, now: int) -> None:
        await _all(self._expire_one(key) for key in await self._store.overdue_batches(now))

    async def _expire_one(self, key: int) -> None:
        self._stop_sending(key)
        await self._store.expire_batch(key)

    async def _expedite(self, now: int) -> None:
        await self._expedite_batches(await self._store.overdue_batches(now + EXPEDITED_BEFORE_EXPIRY))

    async def _restore(self, _now: int) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._restored_at + ENQUEUE_MISSING_INTERVAL:
            await self._restore_jobs()
            self._restored_at = now

    async def signal_waiting_batches(self) -> None:
        """Hand the batches over that wait for their validation or their finalization."""
        for key in await self._store.validating_batches():
            self._validate(key)
        for key in await self._store.finalizable_batches():
            self._finalize(key)

    async def _hand_over(self, _now: int) -> None:
        await self.signal_waiting_batches()

    async def _archive(self, now: int) -> None:
        batches = await self._store.archivable_batches(now - RETENTION)
        await _all(self._archive_one(batch.key, now) for batch in batches)
        await self._store.drop_faults(now - RETENTION)

    async def _archive_one(self, key: int, now: int) -> None:
        await self._store.archive_batch(key, now)
        hit("batch_archived")

    async def _expire_files(self, now: int) -> None:
        await self._store.expire_files(now)

    async def _clean(self, _now: int) -> None:
        await self._orphan_blobs.sweep()

    async def _look_ahead(self, now: int) -> None:
        self._due = await self._store.next_due(now, RETENTION)

    async def _wait_for(self, due: int | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await (asyncio.sleep(INTERVAL) if due is None else self._clock.sleep_until(due))


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Do it side by side, which the store commits together; what fails is raised after all the rest is done."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
