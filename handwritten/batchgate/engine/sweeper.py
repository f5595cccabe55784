"""What time does to batches: they expire after a day, and their results are archived after 29."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchgate.engine.clock import DAY, Clock
from batchgate.engine.errors import BlobError, StoreError
from batchgate.engine.ports import Blobs, Store
from batchgate.engine.shard_run import Report

RETENTION = 29 * DAY
"""From the creation of a batch to the end of its results."""
INTERVAL = 1.0  # seconds


class Sweeper:
    """Looks after the clock once a second."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        halt: Callable[[int], None],
        sealable: Callable[[int], None],
        report: Report,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._halt = halt
        self._sealable = sealable
        self._report = report

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except (StoreError, BlobError) as error:
                self._report("sweeping", error)
            else:
                self._report("sweeping", None)
            await asyncio.sleep(INTERVAL)

    async def sweep(self) -> None:
        """Do what is due now."""
        now = self._clock.now()
        for key in await self._store.expire_batches(now):
            self._halt(key)
        for key in await self._store.sealable_batches():
            self._sealable(key)
        for batch in await self._store.archivable_batches(now - RETENTION):
            await self._store.archive_batch(batch.key, now)
            for name in (batch.input_blob, batch.results_blob):
                if name is not None:
                    await self._blobs.delete(name)
