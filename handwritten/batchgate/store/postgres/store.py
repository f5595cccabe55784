"""`Store` on PostgreSQL, shared by any number of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import msgspec

from batchgate.engine.model.batch import Backlog, Batch, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.shard import ChunkEntry, ChunkSlice, QueuedShard, ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.store.postgres import transactions
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.batch_lists import PostgresBatchLists
from batchgate.store.postgres.batch_search import PostgresBatchSearch
from batchgate.store.postgres.budgets import PostgresBudgets
from batchgate.store.postgres.connection import Params, PostgresPool, Row, is_storable
from batchgate.store.postgres.events import PostgresEvents
from batchgate.store.postgres.failures import PostgresFailures
from batchgate.store.postgres.files import PostgresFiles
from batchgate.store.postgres.migrate import migrate
from batchgate.store.postgres.native_jobs import PostgresNativeJobs
from batchgate.store.postgres.retries import PostgresRetries
from batchgate.store.postgres.scrub import PostgresScrub
from batchgate.store.postgres.secrets import PostgresSecrets
from batchgate.store.postgres.sent_marks import SentMarks
from batchgate.store.postgres.series import PostgresSeries
from batchgate.store.postgres.steering import PostgresSteering
from batchgate.store.postgres.tasks import PostgresTasks
from batchgate.store.postgres.tenants import PostgresTenants
from batchgate.store.postgres.usage import PostgresUsage
from batchgate.store.postgres.webhooks import PostgresWebhooks
from batchgate.store.records import (
    batch_from_row,
    chunk_entry_from_row,
    duplicate_lookup_row,
    ended_batch_row,
    shard_from_row,
    shard_job,
    slices_row,
    unpack_seqs,
)


def no_member() -> None:
    """Return None, as in a process that is not a member of the cluster."""


class PostgresStore(
    PostgresBatchLists,
    PostgresBatchSearch,
    PostgresRetries,
    PostgresFailures,
    PostgresSeries,
    PostgresNativeJobs,
    PostgresTasks,
    PostgresFiles,
):
    """Batches, shards, chunks and files in one PostgreSQL database. An async context manager.

    ``member`` returns the id of this process in the table ``members``, or None. While that row exists, a blob that this
    process writes does not count as an orphan.
    """

    def __init__(self, address: PostgresAddress, *, member: Callable[[], int | None] = no_member) -> None:
        self._address = address
        self._member = member
        pool = PostgresPool(address)
        PostgresNativeJobs.__init__(self, pool, SentMarks(self._write_marks))
        PostgresFiles.__init__(self, pool)
        self.secrets: Final = PostgresSecrets(self._pool)
        self.scrub: Final = PostgresScrub(self._pool)
        self.steering: Final = PostgresSteering(self._pool)
        self.webhooks: Final = PostgresWebhooks(self._pool)
        self.events: Final = PostgresEvents(self._pool)
        self.usage: Final = PostgresUsage(self._pool)
        self.budgets: Final = PostgresBudgets(self._pool)
        self.tenants = PostgresTenants(self._pool)
        """Workspaces and API keys; usable while the store is entered."""
        self._mark_writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Apply pending migrations and connect."""
        await asyncio.to_thread(migrate, self._address)
        try:
            await self._pool.open()
            await self._drop_leftover_chunks()
        except BaseException:
            await self._pool.close()
            raise
        self._mark_writer = asyncio.create_task(self._marks.run(), name="sent marks")
        return self

    async def _drop_leftover_chunks(self) -> None:
        """Delete the chunks of ended batches whose finalizer died before it deleted them."""
        for row in await self._pool.fetch_all("ended_with_chunks", {}):
            await self.drop_chunks(row["key"])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the last marks and close the connections."""
        if self._mark_writer is not None:
            self._mark_writer.cancel()
            await asyncio.wait([self._mark_writer])
        with suppress(StoreError):  # the server is unreachable, so these marks are lost
            await self._marks.flush()
        await self._pool.close()

    async def time(self) -> int:
        """Read the clock of the database, in microseconds since the epoch."""
        row = await self._pool.fetch_one("time", {})
        assert row is not None
        return int(row["now"])

    def state(self) -> None:
        """Return None: other gateways commit too, and asking for that takes as long as to read."""

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
        """Store a batch, its shards and a job for each shard, all or none."""
        return await self._pool.write(lambda transaction: transactions.create_batch(transaction, new))

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Return the earlier batch that `create_batch` would return instead of storing this one, or None."""
        if new.idempotency_key is not None:
            return _batch(await self._pool.find_one("find_by_idempotency_key", duplicate_lookup_row(new)))
        return (
            None
            if new.deduplicate_since is None
            else _batch(await self._pool.find_one("find_by_fingerprint", duplicate_lookup_row(new)))
        )

    async def start_batch(self, batch_key: int, validated: ValidatedInput, now: int) -> Sequence[QueuedShard] | None:
        """Start a validated batch by storing its shards; None if it is no longer validating."""
        return await self._pool.write(
            lambda transaction: transactions.start_batch(transaction, batch_key, validated, now)
        )

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a batch whose validation failed; False if it is no longer validating."""
        params = {"batch_key": batch_key, "faults": faults, "first_faults": first_faults, "now": now}
        return await self._pool.write(lambda transaction: transactions.fail_batch(transaction, params))

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all validation errors of a batch's file; None if there are none."""
        row = await self._pool.fetch_one("find_faults", {"batch_key": batch_key})
        return None if row is None else bytes(row["faults"])

    async def drop_faults(self, failed_before: int) -> None:
        """Delete the validation errors of batches that failed before a time; the first ones stay with the batch."""
        await self._run("drop_old_faults", {"failed_before": failed_before})

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches that are validating."""
        return [row["key"] for row in await self._pool.fetch_all("validating_batches", {})]

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; None if it does not exist or is deleted."""
        return _batch(await self._pool.find_one("find_batch", {"workspace": workspace, "id": batch_id}))

    async def find_batch_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch as a paging cursor; a deleted batch keeps its key."""
        row = await self._pool.find_one("find_batch_cursor", {"workspace": workspace, "id": batch_id})
        return None if row is None else int(row["key"])

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Start to cancel a batch in progress, and return it; a batch in another state stays unchanged."""
        if not is_storable(workspace, batch_id):
            return None
        return await self._pool.write(
            lambda transaction: transactions.cancel_batch(transaction, workspace, batch_id, now), repeatable=True
        )

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Delete an ended batch and return it; only its paging cursor stays."""
        if not is_storable(workspace, batch_id):
            return None
        return await self._pool.write(
            lambda transaction: transactions.delete_batch(transaction, workspace, batch_id, now)
        )

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard with a new epoch; None if it is done or held."""
        read = await self._pool.write(lambda transaction: transactions.claim_shard(transaction, job), repeatable=True)
        found = await read()
        if found is None:
            return None
        claim, stored = found
        shard = claim.shard
        marked = self._marks.load((job.batch_key, job.shard), claim.epoch, shard.requests, stored)
        return msgspec.structs.replace(claim, sent={shard.first_seq + number for number in marked} - claim.finished)

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Mark a request as about to be sent, or clear its mark when its outcome is known.

        Marks are written in the background (`sent_marks`), so that another process can read them after a crash.
        """
        shard_key = (claim.batch.key, claim.shard.index)
        self._marks.mark(shard_key, claim.epoch, seq - claim.shard.first_seq, sent=sent)

    async def _write_marks(self, params: Mapping[str, Sequence[object]]) -> None:
        await self._run("write_marks", params, durable=False)

    async def append_chunk(self, claim: Claim, chunk: ResultChunk, *, shard_done: bool) -> bool:
        """Write results if the claim's epoch is current; True if the batch can be finalized now."""
        shard_key = (claim.batch.key, claim.shard.index)
        try:
            finalizable = await self._pool.write(
                lambda transaction: transactions.append_chunk(transaction, claim, chunk, shard_done=shard_done),
                repeatable=True,
            )
        except StaleClaim:
            self._marks.drop(shard_key, claim.epoch)
            raise
        if shard_done:
            self._marks.drop(shard_key, claim.epoch)
        return finalizable

    async def release_shard(self, claim: Claim) -> None:
        """Release the claim of a shard that is not done."""
        params = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
        await self._run("release_shard", params)
        self._marks.release((claim.batch.key, claim.shard.index), claim.epoch)

    async def unfinished_jobs(self) -> Sequence[QueuedShard]:
        """Read the jobs of all unfinished shards."""
        return [shard_job(row["batch_key"], row["shard"]) for row in await self._pool.fetch_all("unfinished_jobs", {})]

    async def finalizable_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards are all done and that have not ended."""
        return [row["key"] for row in await self._pool.fetch_all("finalizable_batches", {})]

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that have expired and have not ended."""
        return [row["key"] for row in await self._pool.fetch_all("overdue_batches", {"now": now})]

    async def expire_batch(self, batch_key: int, now: int) -> bool:
        """Close the unclaimed shards of an overdue batch, and end its pause."""
        return await self._pool.write(
            lambda transaction: transactions.expire_batch(transaction, batch_key, now), repeatable=True
        )

    async def find_batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        return _batch(await self._pool.fetch_one("find_batch_by_key", {"key": key}))

    async def list_shards(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order."""
        rows = await self._pool.fetch_all("shards_of_batch", {"batch_key": batch.key})
        return [Claim(batch=batch, shard=shard_from_row(row), epoch=row["epoch"], finished=frozenset()) for row in rows]

    async def find_shard(self, batch_key: int, seq: int) -> Shard | None:
        """Read the shard that a request is in."""
        row = await self._pool.fetch_one("shard_of_request", {"batch_key": batch_key, "seq": seq})
        return None if row is None else shard_from_row(row)

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[ResultChunk]:
        """Read the results of a shard in the order in which they were written."""
        rows = await self._pool.fetch_all("chunks_of_shard", {"batch_key": batch_key, "shard": shard})
        return [
            ResultChunk(seqs=unpack_seqs(r["seqs"]), lines=r["lines"], succeeded=r["succeeded"], errored=r["errored"])
            for r in rows
        ]

    async def list_chunks(self, batch_key: int, shard: int) -> Sequence[ChunkEntry]:
        """Read which results a shard has, without their lines."""
        rows = await self._pool.fetch_all("list_chunks", {"batch_key": batch_key, "shard": shard})
        return [chunk_entry_from_row(row) for row in rows]

    async def read_slices(self, batch_key: int, shard: int, slices: Sequence[ChunkSlice]) -> Sequence[bytes]:
        """Read parts of the lines of chunks; those of dropped chunks are left out."""
        rows = await self._pool.fetch_all("slices_of_chunks", slices_row(batch_key, shard, slices)) if slices else []
        return [row["part"] for row in rows]

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
        return await self._pool.write(
            lambda transaction: transactions.end_batch(transaction, params, results_blob, unfinished, files)
        )

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of an ended batch, a few per transaction."""
        params = {"batch_key": batch_key, "limit": transactions.DROP_CHUNKS_LIMIT}
        while await self._pool.write(lambda transaction: transaction.fetch_all("drop_chunks", params), repeatable=True):
            continue

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches that were created before a time and still have results."""
        rows = await self._pool.fetch_all("archivable_batches", {"created_before": created_before})
        return [batch_from_row(row) for row in rows]

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Archive a batch: its blobs become orphans."""
        await self._pool.write(lambda t: transactions.archive_batch(t, batch_key, now), repeatable=True)

    async def next_due(self, now: int, retention: int) -> int | None:
        """Return the time when the next batch or file expires, or the next batch reaches the retention of results."""
        row = await self._pool.fetch_one("next_due", {"now": now, "retention": retention})
        return None if row is None else row["due"]

    async def add_orphan_blob(self, name: str) -> None:
        """Register a blob that this process is about to write and that has no owner yet."""
        await self._run("add_orphan_blob", {"name": name, "writer": self._member()})

    async def list_orphan_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner and that no live process is writing."""
        return [row["name"] for row in await self._pool.fetch_all("list_orphan_blobs", {})]

    async def tombstone_blob(self, name: str) -> bool:
        """Mark an orphan blob for removal, so that no batch can adopt it; False if it is no orphan."""
        tombstoned = await self._pool.write(
            lambda transaction: transaction.fetch_one("tombstone_blob", {"name": name}), repeatable=True
        )
        return tombstoned is not None

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Return True if a blob belongs to the batch or file with this id, and the owner is not deleted."""
        return await self._pool.find_one("owns_blob", {"owner": owner, "name": name}) is not None

    async def forget_orphan_blobs(self, names: Sequence[str]) -> None:
        """Delete the records of blobs that have been removed."""
        await self._run("forget_orphan_blobs", {"names": list(names)})

    async def backlog(self) -> Backlog:
        """Count the open batches and the shards that wait for a worker."""
        open_batches = await self._pool.fetch_all("open_batches", {})
        jobs = await self._pool.fetch_all("active_native_jobs", {})
        waiting = await self._pool.fetch_one("waiting_shards", {})
        assert waiting is not None
        return Backlog(
            batches={(row["workspace"], row["status"]): row["number"] for row in open_batches},
            native_jobs={(row["account"], row["state"]): row["number"] for row in jobs},
            waiting_shards=waiting["number"],
            waiting_since=waiting["since"],
        )

    async def _run(self, query: str, params: Params, *, durable: bool = True) -> None:
        """Run one statement that may run twice."""
        await self._pool.write(lambda transaction: transaction.execute(query, params), repeatable=True, durable=durable)


def _batch(row: Row | None) -> Batch | None:
    return None if row is None else batch_from_row(row)
