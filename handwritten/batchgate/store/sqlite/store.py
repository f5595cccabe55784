"""`Store` on one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from batchgate.engine.model.batch import Backlog, Batch, BatchPage, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.shard import ChunkEntry, ChunkSlice, QueuedShard, ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.store.list_records import list_query
from batchgate.store.records import (
    batch_from_row,
    chunk_entry_from_row,
    ended_batch_row,
    shard_from_row,
    shard_job,
    unpack_seqs,
)
from batchgate.store.sqlite import transactions
from batchgate.store.sqlite.batch_search import SqliteBatchSearch
from batchgate.store.sqlite.budgets import SqliteBudgets
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.events import SqliteEvents
from batchgate.store.sqlite.failures import SqliteFailures
from batchgate.store.sqlite.files import SqliteFiles
from batchgate.store.sqlite.migrate import migrate
from batchgate.store.sqlite.native_jobs import SqliteNativeJobs
from batchgate.store.sqlite.retries import SqliteRetries
from batchgate.store.sqlite.scrub import SqliteScrub
from batchgate.store.sqlite.secrets import SqliteSecrets
from batchgate.store.sqlite.sent_marks import SentMarks
from batchgate.store.sqlite.series import SqliteSeries
from batchgate.store.sqlite.steering import SqliteSteering
from batchgate.store.sqlite.tasks import SqliteTasks
from batchgate.store.sqlite.tenants import SqliteTenants
from batchgate.store.sqlite.transactions import QUERIES, fetch_one
from batchgate.store.sqlite.usage import SqliteUsage
from batchgate.store.sqlite.webhooks import SqliteWebhooks

LOOKUP_ROWS = 100
"""Rows of a page that are read on the event loop; they take half a millisecond."""


class SqliteStore(
    SqliteBatchSearch, SqliteRetries, SqliteFailures, SqliteSeries, SqliteNativeJobs, SqliteTasks, SqliteFiles
):
    """Batches, shards, chunks and files in one SQLite file. An async context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        file = SqliteFile(path)
        SqliteNativeJobs.__init__(self, file)
        SqliteFiles.__init__(self, file)
        self.secrets: Final = SqliteSecrets(self._file)
        self.scrub: Final = SqliteScrub(self._file)
        self.steering = SqliteSteering(self._file)
        self.webhooks: Final = SqliteWebhooks(self._file)
        self.events: Final = SqliteEvents(self._file)
        self.usage: Final = SqliteUsage(self._file)
        self.budgets: Final = SqliteBudgets(self._file)
        self.tenants = SqliteTenants(self._file)
        """Workspaces and API keys; usable while the store is entered."""
        self._marks = SentMarks(path.with_suffix(".sent"))

    async def __aenter__(self) -> Self:
        """Apply pending migrations, and release the claims of the previous process."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.start()
        try:
            await asyncio.to_thread(migrate, self._file.connect)
            await self._file.write(transactions.recover)
            self._marks.open([(job.batch_key, job.shard) for job in await self.unfinished_jobs()])
        except (StoreError, OSError) as error:
            await self._file.close()
            raise StoreError(f"{self._path}: {error}") from error
        except BaseException:
            await self._file.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the queued work and close the files."""
        await self._file.close()
        self._marks.close()

    def state(self) -> object | None:
        """Return the same object as before if nothing was committed since; None if the disk is slow."""
        return self._file.state()

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
        """Store a batch and its shards, all or none."""
        return await self._file.write(lambda connection: transactions.create_batch(connection, new))

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Return the earlier batch that `create_batch` would return instead of storing this one, or None."""
        return await self._file.read(lambda connection: transactions.find_repeated(connection, new))

    async def start_batch(self, batch_key: int, validated: ValidatedInput, now: int) -> Sequence[QueuedShard] | None:
        """Start a validated batch by storing its shards; None if it is no longer validating."""
        return await self._file.write(
            lambda connection: transactions.start_batch(connection, batch_key, validated, now)
        )

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a batch whose validation failed; False if it is no longer validating."""
        params = {"batch_key": batch_key, "faults": faults, "first_faults": first_faults, "now": now}
        return await self._file.write(lambda connection: transactions.fail_batch(connection, params))

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all validation errors of a batch's file; None if there are none."""
        row = await self._file.read(lambda connection: fetch_one(connection, "find_faults", {"batch_key": batch_key}))
        return None if row is None else bytes(row["faults"])

    async def drop_faults(self, failed_before: int) -> None:
        """Delete the validation errors of batches that failed before a time; the first ones stay with the batch."""
        params = {"failed_before": failed_before}
        await self._file.write(lambda connection: connection.execute(QUERIES["drop_old_faults"], params).rowcount)

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches that are validating."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["validating_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; None if it does not exist or is deleted."""
        key = ("find_batch", workspace, batch_id)
        return await self._file.look_up(
            key, lambda connection: transactions.find_batch(connection, workspace, batch_id)
        )

    async def find_batch_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch as a paging cursor; a deleted batch keeps its key."""
        params = {"workspace": workspace, "id": batch_id}
        key = ("find_batch_cursor", workspace, batch_id)
        row = await self._file.look_up(key, lambda connection: fetch_one(connection, "find_batch_cursor", params))
        return None if row is None else int(row["key"])

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> BatchPage:
        """Read a page of batches, newest first; see `BatchStore.list_batches`."""
        query = list_query(workspace, older_than=older_than, newer_than=newer_than, provider=provider, limit=limit)

        def read(connection: sqlite3.Connection) -> BatchPage:
            return query.page(transactions.fetch_batches(connection, query.name, query.params))

        if limit > LOOKUP_ROWS:
            return await self._file.read_long(read)
        return await self._file.look_up((query.name, *query.params.values()), read)

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Start to cancel a batch in progress, and return it; a batch in another state stays unchanged."""
        return await self._file.write(
            lambda connection: transactions.cancel_batch(connection, workspace, batch_id, now)
        )

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Delete an ended batch and return it; only its paging cursor stays."""
        return await self._file.write(
            lambda connection: transactions.delete_batch(connection, workspace, batch_id, now)
        )

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard with a new epoch; None if it is done or held."""
        claim = await self._file.write(lambda connection: transactions.claim_shard(connection, job))
        if claim is None:
            return None
        sent = {claim.shard.first_seq + number for number in self._marks.load((job.batch_key, job.shard))}
        return msgspec.structs.replace(claim, sent=sent - claim.finished)

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Mark a request as about to be sent, or clear its mark when its outcome is known."""
        self._marks.mark((claim.batch.key, claim.shard.index), seq - claim.shard.first_seq, sent=sent)

    async def append_chunk(self, claim: Claim, chunk: ResultChunk, *, shard_done: bool) -> bool:
        """Write results if the claim's epoch is current; True if the batch can be finalized now."""
        stored = await self._file.write(
            lambda connection: transactions.append_chunk(connection, claim, chunk, shard_done=shard_done)
        )
        if shard_done:
            self._marks.drop((claim.batch.key, claim.shard.index))
        if stored.paused:
            self.steering.signal_pause()
        return stored.finalizable

    async def release_shard(self, claim: Claim) -> None:
        """Release the claim of a shard that is not done."""
        params = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
        await self._file.write(lambda connection: connection.execute(QUERIES["release_shard"], params))

    async def unfinished_jobs(self) -> Sequence[QueuedShard]:
        """Read the jobs of all unfinished shards."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["unfinished_jobs"]).fetchall())
        return [shard_job(row["batch_key"], row["shard"]) for row in rows]

    async def finalizable_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards are all done and that have not ended."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["finalizable_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that have expired and have not ended."""
        params = {"now": now}
        rows = await self._file.read(
            lambda connection: connection.execute(QUERIES["overdue_batches"], params).fetchall()
        )
        return [row["key"] for row in rows]

    async def expire_batch(self, batch_key: int, now: int) -> bool:
        """Close the unclaimed shards of an overdue batch, and end its pause."""
        return await self._file.write(lambda connection: transactions.expire_batch(connection, batch_key, now))

    async def find_batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        row = await self._file.read(lambda connection: fetch_one(connection, "find_batch_by_key", {"key": key}))
        return None if row is None else batch_from_row(row)

    async def list_shards(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order."""
        params = {"batch_key": batch.key}
        rows = await self._file.read(lambda c: c.execute(QUERIES["shards_of_batch"], params).fetchall())
        return [Claim(batch=batch, shard=shard_from_row(row), epoch=row["epoch"], finished=frozenset()) for row in rows]

    async def find_shard(self, batch_key: int, seq: int) -> Shard | None:
        """Read the shard that a request is in."""
        params = {"batch_key": batch_key, "seq": seq}
        row = await self._file.read(lambda c: fetch_one(c, "shard_of_request", params))
        return None if row is None else shard_from_row(row)

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[ResultChunk]:
        """Read the results of a shard in the order in which they were written."""
        params = {"batch_key": batch_key, "shard": shard}
        rows = await self._file.read(lambda c: c.execute(QUERIES["chunks_of_shard"], params).fetchall())
        return [
            ResultChunk(seqs=unpack_seqs(r["seqs"]), lines=r["lines"], succeeded=r["succeeded"], errored=r["errored"])
            for r in rows
        ]

    async def list_chunks(self, batch_key: int, shard: int) -> Sequence[ChunkEntry]:
        """Read which results a shard has, without their lines."""
        params = {"batch_key": batch_key, "shard": shard}
        rows = await self._file.read(lambda c: c.execute(QUERIES["list_chunks"], params).fetchall())
        return [chunk_entry_from_row(row) for row in rows]

    async def read_slices(self, batch_key: int, shard: int, slices: Sequence[ChunkSlice]) -> Sequence[bytes]:
        """Read parts of the lines of chunks; those of dropped chunks are left out."""
        return await self._file.read(lambda c: transactions.read_slices(c, batch_key, shard, slices))

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
        """End a batch with its results; False if it has already ended."""
        params = ended_batch_row(batch_key, counts, files) | {
            "results_blob": results_blob,
            "results_size": results_size,
            "results_sha256": results_sha256,
        }
        params |= {"output_size": output_size, "now": now}
        return await self._file.write(lambda connection: transactions.end_batch(connection, params, unfinished, files))

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of an ended batch, a few per transaction."""
        while await self._file.write(lambda connection: transactions.drop_chunks(connection, batch_key)):
            continue

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches that were created before a time and still have results."""
        params = {"created_before": created_before}
        rows = await self._file.read(lambda c: c.execute(QUERIES["archivable_batches"], params).fetchall())
        return [batch_from_row(row) for row in rows]

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Archive a batch: its blobs become orphans."""
        await self._file.write(lambda connection: transactions.archive_batch(connection, batch_key, now))

    async def next_due(self, now: int, retention: int) -> int | None:
        """Return the time when the next batch or file expires, or the next batch reaches the retention of results."""
        params = {"now": now, "retention": retention}
        row = await self._file.read(lambda connection: fetch_one(connection, "next_due", params))
        return None if row is None else row[0]

    async def add_orphan_blob(self, name: str) -> None:
        """Register a blob that is about to be written and has no owner yet."""
        await self._file.write(lambda connection: transactions.add_orphan_blobs(connection, (name,)))

    async def list_orphan_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["list_orphan_blobs"]).fetchall())
        return [row["name"] for row in rows]

    async def tombstone_blob(self, name: str) -> bool:
        """Return True if a blob is an orphan; no other process can adopt it, so no mark is needed."""
        return await self._file.read(lambda connection: fetch_one(connection, "is_orphan", {"name": name})) is not None

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Return True if a blob belongs to the batch or file with this id, and the owner is not deleted."""
        params = {"owner": owner, "name": name}
        return await self._file.read(lambda connection: fetch_one(connection, "owns_blob", params)) is not None

    async def forget_orphan_blobs(self, names: Sequence[str]) -> None:
        """Delete the records of blobs that have been removed."""
        params = [{"name": name} for name in names]
        await self._file.write(
            lambda connection: connection.executemany(QUERIES["forget_orphan_blob"], params).rowcount
        )

    async def backlog(self) -> Backlog:
        """Count the open batches and the shards that wait for a worker."""
        return await self._file.read(transactions.backlog)
