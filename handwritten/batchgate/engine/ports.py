"""What the engine needs from the outside: a store, a place for bodies, a queue of shards, and word of its peers.

Each Protocol has one shared contract suite in tests/; every implementation passes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from batchgate.engine.batch import Backlog, Batch, BegunBatch, Chunk, Claim, Counts, NewBatch, Page, ShardJob
from batchgate.engine.file import File, FilePage, NewFile
from batchgate.engine.secret import Secret


class Store(Protocol):
    """Batches, shards, chunks and files; every write is durable when its call returns. Raises `StoreError`."""

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
        """Store a batch and its shards, all or nothing; its input is no loose blob from then on.

        If it repeats an earlier create, by its idempotency key or by ``repeats_since``, that batch is returned instead,
        without jobs.
        """
        ...

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Find the batch that `create_batch` would return instead of storing this one."""
        ...

    async def begin_batch(self, batch_key: int, begun: BegunBatch, now: int) -> Sequence[ShardJob] | None:
        """Give a batch that was validating its requests; its input is no loose blob from then on.

        None if it is no longer validating, as after a cancel; then nothing is changed.
        """
        ...

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a batch that was validating as failed; False if it is no longer validating."""
        ...

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all that was wrong with the file of a batch; None when nothing was, or it has been dropped."""
        ...

    async def drop_faults(self, failed_before: int) -> None:
        """Forget what was wrong with the files of batches that failed before a time, but for its beginning."""
        ...

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose files wait for their validation."""
        ...

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; deleted ones are not found."""
        ...

    async def find_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch for paging; deleted batches still have theirs."""
        ...

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> Page:
        """Read a page, newest first.

        With ``newer_than`` alone the page lies right before that key; otherwise it starts right after ``older_than``
        (or with the newest) and stays within ``newer_than``, if given.
        """
        ...

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Begin to cancel a batch in progress: shards that no worker holds are done at once.

        One that is validating ends at once, without requests. Others stay unchanged.
        """
        ...

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Take an ended batch away but for its cursor, and answer with what it was; others stay unchanged.

        Its blobs are loose from then on.
        """
        ...

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Take a shard with a new epoch; None if it is done already."""
        ...

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Remember that a request is about to be sent, or that what came of it needs no remembering.

        Called in the way of each request: it neither blocks nor raises. The next claim of the shard knows what was
        sent, as far as this store remembers beyond the end of the process.
        """
        ...

    async def append_chunk(self, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
        """Write results, and mark the shard done with the last; True when the whole batch waits for its sealing.

        Raises `StaleEpoch` if the shard has been claimed again since; then nothing is written.
        """
        ...

    async def release_shard(self, claim: Claim) -> None:
        """Let go of a shard that is not done; nothing happens to one that has been claimed again since."""
        ...

    async def open_jobs(self) -> Sequence[ShardJob]:
        """Read the jobs of all shards that are not done."""
        ...

    async def sealable_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards are all done and whose results are not sealed."""
        ...

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that are past their time and have not ended."""
        ...

    async def expire_batch(self, batch_key: int) -> None:
        """Close the shards of a batch that no worker holds."""
        ...

    async def batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        ...

    async def shard_claims(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order, as claims that hold no epoch worth writing with."""
        ...

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[Chunk]:
        """Read the results of a shard in the order in which they were flushed."""
        ...

    async def end_batch(
        self,
        batch_key: int,
        *,
        counts: Counts,
        results_blob: str,
        results_size: int,
        now: int,
        output_size: int | None = None,
        files: Sequence[NewFile] = (),
    ) -> bool:
        """Mark a batch ended with its sealed results, which are no loose blob from then on.

        ``files`` show parts of them; while there is one, they are kept. False if the batch has ended already; then
        nothing is changed.
        """
        ...

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of a batch that has ended."""
        ...

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches, created before a time, that still have results and no files that keep them."""
        ...

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Mark the results of a batch as removed; its blobs are loose from then on."""
        ...

    async def next_due(self, now: int, retention: int) -> int | None:
        """Tell when the next batch or file expires, or a batch has been there for as long as results are kept."""
        ...

    async def add_loose_blob(self, name: str) -> None:
        """Remember a blob that is about to be written and has no owner yet."""
        ...

    async def loose_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner."""
        ...

    async def condemn_blob(self, name: str) -> bool:
        """Give a blob to nobody from now on, as it is to be removed; False if it has an owner, or is forgotten."""
        ...

    async def has_blob(self, owner: str, name: str) -> bool:
        """Tell if a blob belongs to the batch or file of that id, and it has not been deleted."""
        ...

    async def drop_loose_blobs(self, names: Sequence[str]) -> None:
        """Forget blobs that have been removed."""
        ...

    async def backlog(self) -> Backlog:
        """Count what is undone; the cost grows with that, not with what has ended."""
        ...

    async def create_file(self, new: NewFile) -> File:
        """Store a file; its content is no loose blob from then on."""
        ...

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; those that are deleted or expired by ``now`` are not found."""
        ...

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file for paging; files that are gone still have theirs."""
        ...

    async def list_files(
        self,
        workspace: str,
        *,
        after: int | None,
        ascending: bool,
        purpose: str | None,
        provider: str | None,
        now: int,
        limit: int,
    ) -> FilePage:
        """Read a page in the order of upload or against it, from right after a key on; without those that are gone."""
        ...

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Take a file away but for its cursor, and answer with what it was; its content is loose from then on.

        With the last file that shows a batch, the batch is archived.
        """
        ...

    async def expire_files(self, now: int) -> None:
        """Take some files away that have expired; their contents are loose from then on."""
        ...


class SecretStore(Protocol):
    """Secrets as ciphertexts; every write is durable when its call returns. Raises `StoreError`."""

    async def put_secret(self, name: str, ciphertext: bytes, now: int) -> Secret:
        """Store a secret or replace its ciphertext, and answer with how it is stored now."""
        ...

    async def find_secret(self, name: str) -> Secret | None:
        """Read a secret."""
        ...

    async def list_secrets(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        ...

    async def delete_secret(self, name: str) -> bool:
        """Delete a secret; False if there is none of this name."""
        ...

    async def reencrypt_secret(self, name: str, old: bytes, new: bytes) -> bool:
        """Give a secret a new ciphertext of the same value; False if it no longer has the old one."""
        ...


class BlobWriter(Protocol):
    """Writes one blob from its beginning to its end."""

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        ...

    async def commit(self) -> None:
        """Make the blob whole, durable and visible."""
        ...

    async def abort(self) -> None:
        """Leave nothing behind; after a commit it does nothing."""
        ...


class StoredBlob(Struct, frozen=True, kw_only=True):
    """What a place for bodies knows of one."""

    size: int
    modified: float
    """Seconds since the epoch."""


class Blobs(Protocol):
    """Bodies by name, names with slashes. Raises `BlobError`."""

    def writer(self, name: str) -> BlobWriter:
        """Begin a blob; it does not exist before its commit."""
        ...

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        ...

    async def find(self, name: str) -> StoredBlob:
        """Tell what is known of a blob; raises `BlobError` also when there is none."""
        ...

    def stream(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read a blob, or exactly ``length`` bytes of it, in pieces; what is slow to take them costs no memory."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob, and what a writer that died has left of it; one that does not exist is no error."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Tell the file that holds the blob where there is one, to serve it without copying."""
        ...


class Queue(Protocol):
    """The shards that wait for a worker, and those that are held here: taken, and neither done nor left since.

    What is told to it is neither waited for nor lost: a queue that is out of reach is told when it is back.
    """

    async def restore(self) -> None:
        """Line up every shard that is not done and has no job; raises `StoreError`."""
        ...

    def put(self, jobs: Sequence[ShardJob]) -> None:
        """Line up the jobs of shards that the store has just made."""
        ...

    async def get(self) -> ShardJob:
        """Wait for the next job by priority, and take it."""
        ...

    async def take(self) -> ShardJob | None:
        """Take the next job by priority, if there is one now."""
        ...

    def done(self, job: ShardJob) -> None:
        """Forget a job: its shard is done, or somebody else's."""
        ...

    def leave(self, job: ShardJob, *, rest: float = 0.0) -> None:
        """Give a job back to whoever comes, after some seconds."""
        ...

    async def hurry(self, batch_keys: Sequence[int]) -> None:
        """Put the jobs of these batches before all others; raises `StoreError`."""
        ...

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Say whom to tell that nothing is held here any more: this worker was taken for dead."""
        ...


class Cipher(Protocol):
    """Encrypts secrets with a master key."""

    def encrypt(self, name: str, value: str) -> bytes:
        """Encrypt the value of a secret."""
        ...

    def decrypt(self, name: str, ciphertext: bytes) -> str:
        """Decrypt the value of a secret; raises `ConfigurationError` if no master key opens it."""
        ...
