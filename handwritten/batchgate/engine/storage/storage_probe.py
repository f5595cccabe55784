"""Detects when storage works again after it has failed a caller.

A failed create leaves nothing that would be retried. Without test writes, the gateway could not notice the recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.model.ids import new_id
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.health_problems import HealthReporter

COMPONENT = "storage"
PROBE = bytes(1024 * 1024)
INTERVAL = 1.0  # seconds between two probes


class StorageProbe:
    """Reports failures of storage, and then writes a test blob every second until a write succeeds."""

    def __init__(self, orphan_blobs: OrphanBlobs, report: HealthReporter) -> None:
        self._orphan_blobs = orphan_blobs
        self._report = report
        self._failing = False
        # All probes use one name: a storage that also fails to delete would accumulate them.
        self._name = f"probes/{new_id('probe')}"

    @contextmanager
    def reporting_errors(self) -> Iterator[None]:
        """Report `StoreError` and `BlobError` raised in the context, and reraise them."""
        try:
            yield
        except (StoreError, BlobError) as error:
            self._failing = True
            self._report(COMPONENT, error)
            raise

    async def run(self) -> None:
        """Probe, and retry failed removals, once a second until cancelled."""
        while True:
            await self.probe()
            await self._orphan_blobs.retry_failed_removals()
            await asyncio.sleep(INTERVAL)

    async def probe(self) -> None:
        """Write a test blob, as a create does, if storage failed last time."""
        if not self._failing:
            return
        with suppress(StoreError, BlobError), self.reporting_errors():
            async with self._orphan_blobs.open_writer("", self._name) as writer:
                await writer.write(PROBE)
                await writer.commit()
            self._failing = False
            self._report(COMPONENT, None)
