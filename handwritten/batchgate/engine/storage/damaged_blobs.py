"""The stored blobs that this process found damaged: a health problem for each, until it is whole again or deleted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from batchgate.engine.model.errors import BlobError, DamagedBlob, StoreError
from batchgate.engine.model.stored_blob import BlobOwner, StoredBlob
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.ports.scrub_store import ScrubStore
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

COMPONENT: Final = "stored_files"
MAX_DAMAGED: Final = 100
"""The most damaged blobs that are remembered; if a whole storage is lost, these are enough to know it."""


class DamagedBlobs:
    """Remembers and reports damaged blobs; `Scrub` looks at them again."""

    def __init__(self, store: ScrubStore, report: HealthReporter) -> None:
        self._store = store
        self._report = report
        self._damaged: dict[BlobOwner, StoredBlob] = {}

    def __len__(self) -> int:
        """Count the damaged blobs."""
        return len(self._damaged)

    @property
    def owners(self) -> tuple[BlobOwner, ...]:
        """The owners of the damaged blobs, in the order in which they were found."""
        return tuple(self._damaged)

    @property
    def is_full(self) -> bool:
        """Whether no more can be remembered."""
        return len(self._damaged) >= MAX_DAMAGED

    @asynccontextmanager
    async def watching(self, blob: StoredBlob) -> AsyncIterator[None]:
        """Report a `DamagedBlob` that is raised in the context while this blob is read, and reraise it."""
        try:
            yield
        except DamagedBlob as error:
            await self.report(blob, error)
            raise

    async def watch(self, blob: StoredBlob, pieces: ByteStream) -> ByteStream:
        """Yield the pieces of a blob, and report it if they end with a `DamagedBlob`."""
        async with self.watching(blob), aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def report(self, blob: StoredBlob, error: BlobError) -> None:
        """Report that a blob could not be read, unless its owner was deleted meanwhile; raises nothing."""
        try:
            current = await self._store.find_blob(blob.owner)
        except StoreError:
            current = blob  # the next look at it asks again
        if current is None or current.name != blob.name:
            self.forget(blob.owner)
        elif blob.owner in self._damaged or not self.is_full:
            self._remember(blob, error)

    def _remember(self, blob: StoredBlob, error: BlobError) -> None:
        if blob.owner not in self._damaged:
            fields = _fields(blob) | {"action": "blob_damaged"}
            logger.error("%s cannot be read: %s", blob.description, error, extra=fields)
        self._damaged[blob.owner] = blob
        message = f"{blob.description} cannot be read: {error}"
        problem = DamagedBlob(message) if isinstance(error, DamagedBlob) else BlobError(message)
        self._report(COMPONENT, problem, of=_name(blob.owner))

    def forget(self, owner: BlobOwner) -> None:
        """End the problem of a blob: it is whole, or it was deleted; does nothing if there is none."""
        blob = self._damaged.pop(owner, None)
        if blob is not None:
            logger.info("%s: no longer damaged", blob.description, extra=_fields(blob) | {"action": "blob_whole"})
            self._report(COMPONENT, None, of=_name(owner))


def _name(owner: BlobOwner) -> str:
    return f"{owner.kind}/{owner.key}"


def _fields(blob: StoredBlob) -> dict[str, str]:
    kind = "batch" if blob.owner.kind == "results" else "file"
    return {kind: blob.id, "workspace": blob.workspace, "blob": blob.name}
