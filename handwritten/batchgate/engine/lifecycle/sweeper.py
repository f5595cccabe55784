"""Periodic work: expires batches at the end of their windows, archives them after 29 days, and expires files.

It also finds batches whose signals were lost, shards without a job, and orphan blobs. In a cluster, one process sweeps
for all. While the time is in doubt, nothing is expired, archived or deleted by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress

from batchgate.engine.lifecycle.account_budgets import AccountBudgets
from batchgate.engine.lifecycle.usage_retention import UsageRetention
from batchgate.engine.model.batch import EXPEDITED_BEFORE_EXPIRY
from batchgate.engine.model.clock import DAY, ExpiryClock
from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.store import Store
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

RETENTION = 29 * DAY
"""The time from the creation of a batch to the deletion of its input and results."""
INTERVAL = 1.0  # seconds between two sweeps, if nothing is due earlier
ENQUEUE_MISSING_INTERVAL = 60.0
"""Seconds between two searches for shards without a job; there are none unless a job was lost."""
COMPONENT = LEASE = "sweeping"
EXPIRY_LEASE = "expiry"
"""The lease of the steps that judge by time. A process whose clock is in doubt leaves them to another one."""


class Sweeper:
    """Runs all periodic steps at least once a second, and also at the time when the next batch or file is due."""

    def __init__(
        self,
        *,
        store: Store,
        orphan_blobs: OrphanBlobs,
        clock: ExpiryClock,
        cluster: Cluster,
        stop_sending: Callable[[int], None],
        finalize: Callable[[int], None],
        validate: Callable[[int], None],
        plan: Callable[[int], None],
        expedite: Callable[[Sequence[int]], Awaitable[None]],
        enqueue_missing: Callable[[], Awaitable[None]],
        usage: UsageRetention,
        budgets: AccountBudgets,
        report: HealthReporter,
    ) -> None:
        self._store = store
        self._orphan_blobs = orphan_blobs
        self._clock = clock
        self._cluster = cluster
        self._stop_sending = stop_sending
        self._finalize = finalize
        self._validate = validate
        self._plan = plan
        self._expedite_batches = expedite
        self._enqueue_missing_jobs = enqueue_missing
        self._usage = usage
        self._budgets = budgets
        self._report = report
        self._due: int | None = None
        self._has_expiry_lease = False
        self._enqueued_missing_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._wait_for(self._due if await self._sweep() else None)

    async def _sweep(self) -> bool:
        """Run the steps whose leases this process has; True if all steps succeeded, so that `_due` may be used.

        After a failure the next sweep waits for `INTERVAL`, instead of retrying at once what is due already.
        """
        # One time for all steps: whatever becomes due meanwhile is found as the next due time.
        now = self._clock.now()
        # Every process expedites batches, since each has its own wait queues; and reports the problems of its accounts.
        await self._run_step(self._expedite, now)
        await self._run_step(self._budgets.report_reached, now)
        timed = (self._expire, self._archive, self._expire_files, self._usage.drop_old, self._find_next_due)
        expired = await self._may_expire() and await self._run_steps(timed, now)
        others = (self._signal, self._remove_orphan_blobs, self._enqueue_missing)
        return await self._acquire_lease(LEASE) and await self._run_steps(others, now) and expired

    async def _may_expire(self) -> bool:
        """Return whether this process may judge by time: it has the lease, and its clock is not in doubt."""
        if self._clock.problem is None:
            self._has_expiry_lease = await self._acquire_lease(EXPIRY_LEASE)
        elif self._has_expiry_lease:
            self._has_expiry_lease = not await self._run_step(self._release_expiry_lease, 0)
        return self._clock.problem is None and self._has_expiry_lease

    async def _release_expiry_lease(self, _now: int) -> None:
        await self._cluster.release_lease(EXPIRY_LEASE)

    async def _acquire_lease(self, lease: str) -> bool:
        try:
            acquired = await self._cluster.acquire_lease(lease)
        except StoreError as error:
            self._report(COMPONENT, error, of=lease)
            return False
        self._report(COMPONENT, None, of=lease)
        return acquired

    async def _run_steps(self, steps: Iterable[Callable[[int], Awaitable[None]]], now: int) -> bool:
        """Run steps one after another; True if all succeeded."""
        return all([await self._run_step(step, now) for step in steps])

    async def _run_step(self, step: Callable[[int], Awaitable[None]], now: int) -> bool:
        """Run one step; a failure is reported, does not stop the other steps, and is retried with the next sweep."""
        try:
            await step(now)
        except (StoreError, BlobError) as error:
            self._report(COMPONENT, error, of=step.__name__)
        except Exception as error:
            logger.exception("sweeping failed with an internal error", extra={"action": "sweep_failed"})
            self._report(COMPONENT, error, of=step.__name__)
        else:
            self._report(COMPONENT, None, of=step.__name__)
            return True
        return False

    async def _expire(self, now: int) -> None:
        await _gather_all(self._expire_one(key, now) for key in await self._store.overdue_batches(now))

    async def _expire_one(self, key: int, now: int) -> None:
        if await self._store.expire_batch(key, now):  # otherwise its deadline was moved after it was read
            self._stop_sending(key)

    async def _expedite(self, now: int) -> None:
        await self._expedite_batches(await self._store.overdue_batches(now + EXPEDITED_BEFORE_EXPIRY))

    async def _enqueue_missing(self, _now: int) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._enqueued_missing_at + ENQUEUE_MISSING_INTERVAL:
            await self._enqueue_missing_jobs()
            self._enqueued_missing_at = now

    async def signal_waiting_batches(self) -> None:
        """Signal all batches that wait for validation, for their plan, or for finalization."""
        for key in await self._store.validating_batches():
            self._validate(key)
        for key in await self._store.unplanned_batches():
            self._plan(key)
        for key in await self._store.finalizable_batches():
            self._finalize(key)

    async def _signal(self, _now: int) -> None:
        await self.signal_waiting_batches()

    async def _archive(self, now: int) -> None:
        batches = await self._store.archivable_batches(now - RETENTION)
        await _gather_all(self._archive_one(batch.key, now) for batch in batches)
        await self._store.drop_faults(now - RETENTION)

    async def _archive_one(self, key: int, now: int) -> None:
        await self._store.archive_batch(key, now)
        hit_failpoint("batch_archived")

    async def _expire_files(self, now: int) -> None:
        await self._store.expire_files(now)

    async def _remove_orphan_blobs(self, _now: int) -> None:
        await self._orphan_blobs.sweep()

    async def _find_next_due(self, now: int) -> None:
        self._due = await self._store.next_due(now, RETENTION)

    async def _wait_for(self, due: int | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await (asyncio.sleep(INTERVAL) if due is None else self._clock.sleep_until(due))


async def _gather_all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run coroutines concurrently, so that the store commits them together; raise the first error at the end."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
