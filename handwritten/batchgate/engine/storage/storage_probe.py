"""Whether storage takes what callers want to write, once it has failed one of them.

A create that fails leaves nothing that would be tried again, so without a look now and then nobody could tell when
storage is well again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.model.ids import new_id
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.health_problems import ReportHealth

COMPONENT = "storage"
PROBE = bytes(1024 * 1024)
INTERVAL = 1.0  # seconds between two looks


class StorageProbe:
    """Notes when storage fails a caller, and from then on writes a megabyte for nobody until that succeeds."""

    def __init__(self, orphan_blobs: OrphanBlobs, report: ReportHealth) -> None:
        self._orphan_blobs = orphan_blobs
        self._report = report
        self._failing = False
        # One name for all looks: a place that also refuses to remove what was written would gather them.
        self._name = f"probes/{new_id('probe')}"

    @contextmanager
    def reporting_errors(self) -> Iterator[None]:
        """Report a fault of storage in what is done inside."""
        try:
            yield
        except (StoreError, BlobError) as error:
            self._failing = True
            self._report(COMPONENT, error)
            raise

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await self.probe()
            await self._orphan_blobs.retry_failed_removals()
            await asyncio.sleep(INTERVAL)

    async def probe(self) -> None:
        """Try what a create does, if storage was failing the last time."""
        if not self._failing:
            return
        with suppress(StoreError, BlobError), self.reporting_errors():
            async with self._orphan_blobs.open_writer("", self._name) as writer:
                await writer.write(PROBE)
                await writer.commit()
            self._failing = False
            self._report(COMPONENT, None)
