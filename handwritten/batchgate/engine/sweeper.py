"""What time does to batches and files: batches expire after a day, their results are archived after 29; files expire.

Whatever was left over, or not handed over, is found here as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from batchgate.engine.clock import DAY, Clock
from batchgate.engine.errors import BlobError, StoreError
from batchgate.engine.failpoints import hit
from batchgate.engine.loose_blobs import LooseBlobs
from batchgate.engine.ports import Store
from batchgate.engine.shard_run import Report

logger = logging.getLogger(__name__)

RETENTION = 29 * DAY
"""From the creation of a batch to the end of its results and of its input."""
INTERVAL = 1.0  # seconds between two looks when nothing falls due


class Sweeper:
    """Does what is due when it is due, and looks around once a second."""

    def __init__(
        self,
        *,
        store: Store,
        loose_blobs: LooseBlobs,
        clock: Clock,
        halt: Callable[[int], None],
        sealable: Callable[[int], None],
        report: Report,
    ) -> None:
        self._store = store
        self._loose_blobs = loose_blobs
        self._clock = clock
        self._halt = halt
        self._sealable = sealable
        self._report = report

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            due, now = None, self._clock.now()
            try:
                await self.sweep(now)
                # By the same time as the sweep: what fell due meanwhile is due at once, and not passed over.
                due = await self._store.next_due(now, RETENTION)
            except (StoreError, BlobError) as error:
                self._report("sweeping", error)
            except Exception as error:
                logger.exception("sweeping failed in the gateway itself", extra={"action": "sweep_failed"})
                self._report("sweeping", error)
            else:
                self._report("sweeping", None)
            await self._wait_for(due)

    async def sweep(self, now: int) -> None:
        """Do what is due by a time."""
        for key in await self._store.expire_batches(now):
            self._halt(key)
        for key in await self._store.sealable_batches():
            self._sealable(key)
        for batch in await self._store.archivable_batches(now - RETENTION):
            await self._store.archive_batch(batch.key, now)
            hit("batch_archived")
        await self._store.expire_files(now)
        await self._loose_blobs.sweep()

    async def _wait_for(self, due: int | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await (asyncio.sleep(INTERVAL) if due is None else self._clock.until(due))
