"""The part of the store that keeps batches: create, find, list, cancel, end, archive, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.batch import Backlog, Batch, BatchFilters, BatchPage, BatchSearchPage, NewBatch
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.model.usage import Counts


class BatchStore(Protocol):
    """Keeps batches; every write is durable when its call returns. Raises `StoreError`."""

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
        """Store a batch and its shards, all or nothing, and make the batch the owner of its input blob.

        Returns what to enqueue: nothing if the batch is planned, since its shards are held (see `NativeJobStore`). If
        the create repeats an earlier one (same idempotency key, or equal and within ``deduplicate_since``), the store
        returns that batch instead, without jobs.
        """
        ...

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Find the batch that `create_batch` would return instead of storing this one."""
        ...

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; None if it was deleted."""
        ...

    async def find_batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        ...

    async def find_batch_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch for paging; a deleted batch keeps its key."""
        ...

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> BatchPage:
        """Read a page, newest first.

        With ``newer_than`` alone the page lies right before that key. Otherwise it starts right after ``older_than``
        (or with the newest batch) and stays within ``newer_than``, if given.
        """
        ...

    async def search_batches(
        self, workspace: str, filters: BatchFilters, *, after: int | None, limit: int
    ) -> BatchSearchPage:
        """Read a page of the batches that match, newest first, of those created before the batch ``after`` (a key).

        It reads a bounded number of batches, so a page may be short; `BatchSearchPage.next` then goes on.
        """
        ...

    async def retries_of(self, workspace: str, batch_id: str, *, limit: int) -> Sequence[Batch]:
        """Read the batches that retry requests of a batch, and those that retry theirs: the oldest first."""
        ...

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Start to cancel a batch in progress, close at once the shards that no worker has claimed, and end its pause.

        Held shards, and those that may have requests of an active native job, stay open: the job may have results.
        A validating batch ends at once, without requests. Any other batch is returned unchanged.
        """
        ...

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Delete an ended batch except its paging key, and return it; return any other batch unchanged.

        Its blobs become orphans.
        """
        ...

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that have passed ``expires_at`` and have not ended."""
        ...

    async def expire_batch(self, batch_key: int, now: int) -> bool:
        """Close the shards of an overdue batch that `cancel_batch` would close, and end its pause.

        Does nothing and returns False if the batch has ended, or its ``expires_at`` is still to come.
        """
        ...

    async def finalizable_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards are all done and whose result file is not written."""
        ...

    async def end_batch(
        self,
        batch_key: int,
        *,
        counts: Counts,
        results_blob: str,
        results_size: int,
        now: int,
        results_sha256: bytes | None = None,
        output_size: int | None = None,
        unfinished: FailureGroup | None = None,
        files: Sequence[NewFile] = (),
    ) -> bool:
        """Mark a batch as ended and make it the owner of its result blob; False if it had ended already.

        ``unfinished`` are the requests without a stored result; they are added to the failures of the batch. ``files``
        show parts of the results; the results are kept as long as one of these files exists.
        """
        ...

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read a few ended batches, created before a time, that have results but no file that shows them."""
        ...

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Mark the results of a batch as removed; its blobs become orphans."""
        ...

    async def next_due(self, now: int, retention: int) -> int | None:
        """Return when the next batch or file expires, or the next batch has been kept for ``retention``."""
        ...

    async def backlog(self) -> Backlog:
        """Count the unfinished work; the cost does not depend on the number of ended batches."""
        ...
