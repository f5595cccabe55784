"""`Store` on PostgreSQL, which any number of processes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import msgspec

from batchgate.engine.model.batch import Backlog, Batch, BatchPage, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.file import File, FilePage, NewFile
from batchgate.engine.model.shard import Chunk, ShardJob
from batchgate.engine.model.usage import Counts
from batchgate.store.postgres import transactions
from batchgate.store.postgres.address import Address
from batchgate.store.postgres.connection import Bound, PostgresPool, Row, storable
from batchgate.store.postgres.migrate import migrate
from batchgate.store.postgres.secrets import PostgresSecrets
from batchgate.store.postgres.sent_marks import SentMarks
from batchgate.store.postgres.tenants import PostgresTenants
from batchgate.store.records import batch_of, end_row, file_of, job_of, repeat_row, shard_of, unpack

NO_UPPER_BOUND: Final = 2**63 - 1


def nobody() -> None:
    """Name no member: what is written by a process that is none."""


class PostgresStore:
    """Batches, shards, chunks and files in one PostgreSQL database. An async context manager.

    ``member`` says as which row of ``members`` this process is known, if it is; what it writes is not taken for left
    over while that row is there.
    """

    def __init__(self, address: Address, *, member: Callable[[], int | None] = nobody) -> None:
        self._address = address
        self._member = member
        self._pool = PostgresPool(address)
        self.secrets: Final = PostgresSecrets(self._pool)
        self.tenants = PostgresTenants(self._pool)
        """The workspaces and the keys, for as long as the store is entered."""
        self._marks = SentMarks(self._write_marks)
        self._marking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Bring the schema up to date and connect."""
        await asyncio.to_thread(migrate, self._address)
        try:
            await self._pool.open()
            await self._drop_what_was_left()
        except BaseException:
            await self._pool.close()
            raise
        self._marking = asyncio.create_task(self._marks.run(), name="sent marks")
        return self

    async def _drop_what_was_left(self) -> None:
        """Delete the chunks of batches whose finalizer died when it had ended them."""
        for row in await self._pool.rows("ended_with_chunks", {}):
            await self.drop_chunks(row["key"])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the last marks and close the connections."""
        if self._marking is not None:
            self._marking.cancel()
            await asyncio.wait([self._marking])
        with suppress(StoreError):  # without a server there is nothing to be saved
            await self._marks.flush()
        await self._pool.close()

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
        """Store a batch and its shards, with a job for each, all or nothing."""
        return await self._pool.write(lambda transaction: transactions.create(transaction, new))

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Find the batch that `create_batch` would return instead of storing this one."""
        if new.idempotency_key is not None:
            return _batch(await self._one("find_by_idempotency_key", repeat_row(new)))
        return (
            None if new.deduplicate_since is None else _batch(await self._one("find_by_fingerprint", repeat_row(new)))
        )

    async def start_batch(self, batch_key: int, begun: ValidatedInput, now: int) -> Sequence[ShardJob] | None:
        """Give a batch that was validating its requests; None if it is no longer waiting for them."""
        return await self._pool.write(lambda transaction: transactions.begin(transaction, batch_key, begun, now))

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a batch that was validating as failed; False if it is no longer validating."""
        bound = {"batch_key": batch_key, "faults": faults, "first_faults": first_faults, "now": now}
        return await self._pool.write(lambda transaction: transactions.fail(transaction, bound))

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all that was wrong with the file of a batch."""
        row = await self._pool.one("find_faults", {"batch_key": batch_key})
        return None if row is None else bytes(row["faults"])

    async def drop_faults(self, failed_before: int) -> None:
        """Forget what was wrong with the files of batches that failed before a time, but for its beginning."""
        await self._run("drop_old_faults", {"failed_before": failed_before})

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose files wait for their validation."""
        return [row["key"] for row in await self._pool.rows("validating_batches", {})]

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; deleted ones are not found."""
        return _batch(await self._one("find_batch", {"workspace": workspace, "id": batch_id}))

    async def find_batch_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch for paging; deleted batches still have theirs."""
        row = await self._one("find_batch_cursor", {"workspace": workspace, "id": batch_id})
        return None if row is None else int(row["key"])

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> BatchPage:
        """Read a page, newest first; see `Store.list_batches`."""
        backwards = newer_than is not None and older_than is None
        name = ("list_newer" if backwards else "list_older") + ("_of_provider" if provider else "")
        bound = {
            "workspace": workspace,
            "provider": provider,
            "older_than": NO_UPPER_BOUND if older_than is None else older_than,
            "newer_than": newer_than or 0,
            "limit": limit + 1,
        }
        rows = await self._rows(name, bound)
        batches = [batch_of(row) for row in rows[:limit]]
        return BatchPage(batches=tuple(reversed(batches) if backwards else batches), has_more=len(rows) > limit)

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Begin to cancel a batch in progress; others stay unchanged."""
        if not storable(workspace, batch_id):
            return None
        return await self._pool.write(
            lambda transaction: transactions.cancel(transaction, workspace, batch_id, now), repeatable=True
        )

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Take an ended batch away but for its cursor, and answer with what it was."""
        if not storable(workspace, batch_id):
            return None
        return await self._pool.write(lambda transaction: transactions.delete(transaction, workspace, batch_id, now))

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Take a shard with a new epoch; None if it is done already."""
        read = await self._pool.write(lambda transaction: transactions.claim(transaction, job), repeatable=True)
        found = await read()
        if found is None:
            return None
        claim, stored = found
        shard = claim.shard
        marked = self._marks.take((job.batch_key, job.shard), claim.epoch, shard.requests, stored)
        return msgspec.structs.replace(claim, sent={shard.first_seq + number for number in marked} - claim.finished)

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Remember that a request is about to be sent, or that what came of it needs no remembering.

        Marks are written behind, so that another machine may know them too. A crash of this process loses those of its
        last 100 ms, and one of the server those of about its last second: what is asked again of these is not counted
        as repeated.
        """
        place = (claim.batch.key, claim.shard.index)
        self._marks.mark(place, claim.epoch, seq - claim.shard.first_seq, sent=sent)

    async def _write_marks(self, bound: Mapping[str, Sequence[object]]) -> None:
        await self._run("write_marks", bound, durable=False)

    async def append_chunk(self, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
        """Write results if the epoch still holds; True when the whole batch waits for its finalization."""
        place = (claim.batch.key, claim.shard.index)
        try:
            finalizable = await self._pool.write(
                lambda transaction: transactions.append(transaction, claim, chunk, shard_done=shard_done),
                repeatable=True,
            )
        except StaleClaim:
            self._marks.drop(place, claim.epoch)
            raise
        if shard_done:
            self._marks.drop(place, claim.epoch)
        return finalizable

    async def release_shard(self, claim: Claim) -> None:
        """Let go of a shard that is not done."""
        bound = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
        await self._run("release_shard", bound)
        self._marks.let_go((claim.batch.key, claim.shard.index), claim.epoch)

    async def unfinished_jobs(self) -> Sequence[ShardJob]:
        """Read the jobs of all shards that are not done."""
        return [job_of(row["batch_key"], row["shard"]) for row in await self._pool.rows("unfinished_jobs", {})]

    async def finalizable_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards are all done and whose results are not finalized."""
        return [row["key"] for row in await self._pool.rows("finalizable_batches", {})]

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that are past their time and have not ended."""
        return [row["key"] for row in await self._pool.rows("overdue_batches", {"now": now})]

    async def expire_batch(self, batch_key: int) -> None:
        """Close the shards of a batch that no worker holds."""
        await self._pool.write(lambda transaction: transactions.expire(transaction, batch_key), repeatable=True)

    async def find_batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        return _batch(await self._pool.one("find_batch_by_key", {"key": key}))

    async def list_shards(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order."""
        rows = await self._pool.rows("shards_of_batch", {"batch_key": batch.key})
        return [Claim(batch=batch, shard=shard_of(row), epoch=row["epoch"], finished=frozenset()) for row in rows]

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[Chunk]:
        """Read the results of a shard in the order in which they were flushed."""
        rows = await self._pool.rows("chunks_of_shard", {"batch_key": batch_key, "shard": shard})
        return [
            Chunk(seqs=unpack(r["seqs"]), lines=r["lines"], succeeded=r["succeeded"], errored=r["errored"])
            for r in rows
        ]

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
        """Mark a batch ended with its finalized results; False if it has ended already."""
        bound = end_row(batch_key, counts, files) | {"results_blob": results_blob, "results_size": results_size}
        bound |= {"output_size": output_size, "now": now}
        return await self._pool.write(lambda transaction: transactions.end(transaction, bound, results_blob, files))

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of a batch that has ended, a few at a time."""
        bound = {"batch_key": batch_key, "limit": transactions.DROPPED_AT_ONCE}
        while await self._pool.write(lambda transaction: transaction.rows("drop_chunks", bound), repeatable=True):
            continue

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches, created before a time, that still have results."""
        rows = await self._pool.rows("archivable_batches", {"created_before": created_before})
        return [batch_of(row) for row in rows]

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Mark the results of a batch as removed."""
        await self._pool.write(lambda transaction: transactions.archive(transaction, batch_key, now), repeatable=True)

    async def next_due(self, now: int, retention: int) -> int | None:
        """Tell when the next batch or file expires, or a batch has been there for as long as results are kept."""
        row = await self._pool.one("next_due", {"now": now, "retention": retention})
        return None if row is None else row["due"]

    async def add_orphan_blob(self, name: str) -> None:
        """Remember a blob that is about to be written and has no owner yet, and who writes it."""
        await self._run("add_orphan_blob", {"name": name, "writer": self._member()})

    async def list_orphan_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner and that no member writes."""
        return [row["name"] for row in await self._pool.rows("list_orphan_blobs", {})]

    async def tombstone_blob(self, name: str) -> bool:
        """Give a blob to nobody from now on, as it is to be removed; False if it has an owner, or is forgotten."""
        condemned = await self._pool.write(
            lambda transaction: transaction.one("tombstone_blob", {"name": name}), repeatable=True
        )
        return condemned is not None

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Tell if a blob belongs to the batch or file of that id, and it has not been deleted."""
        return await self._one("owns_blob", {"owner": owner, "name": name}) is not None

    async def forget_orphan_blobs(self, names: Sequence[str]) -> None:
        """Forget blobs that have been removed."""
        await self._run("forget_orphan_blobs", {"names": list(names)})

    async def backlog(self) -> Backlog:
        """Count what is undone."""
        open_batches = await self._pool.rows("open_batches", {})
        waiting = await self._pool.one("waiting_shards", {})
        assert waiting is not None
        return Backlog(
            batches={(row["workspace"], row["status"]): row["number"] for row in open_batches},
            waiting_shards=waiting["number"],
            waiting_since=waiting["since"],
        )

    async def create_file(self, new: NewFile) -> File:
        """Store a file."""
        return await self._pool.write(lambda transaction: transactions.create_file(transaction, new))

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; those that are deleted or expired by ``now`` are not found."""
        row = await self._one("find_file", {"workspace": workspace, "id": file_id, "now": now})
        return None if row is None else file_of(row)

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file for paging; files that are gone still have theirs."""
        row = await self._one("find_file_cursor", {"workspace": workspace, "id": file_id})
        return None if row is None else int(row["key"])

    async def list_files(
        self, workspace: str, *, after: int | None, ascending: bool, limit: int, **filters: str | int | None
    ) -> FilePage:
        """Read a page in the order of upload or against it; see `Store.list_files`."""
        name = "list_files_oldest_first" if ascending else "list_files_newest_first"
        start = after if after is not None else 0 if ascending else NO_UPPER_BOUND
        rows = await self._rows(name, {"workspace": workspace, "after": start, "limit": limit + 1, **filters})
        return FilePage(files=tuple(file_of(row) for row in rows[:limit]), has_more=len(rows) > limit)

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Take a file away but for its cursor, and answer with what it was."""
        bound = {"workspace": workspace, "id": file_id, "now": now}
        if not storable(workspace, file_id):
            return None
        return await self._pool.write(lambda transaction: transactions.delete_file(transaction, bound))

    async def expire_files(self, now: int) -> None:
        """Take some files away that have expired."""
        await self._pool.write(lambda transaction: transactions.expire_files(transaction, now), repeatable=True)

    async def _run(self, query: str, bound: Bound, *, durable: bool = True) -> None:
        """Run one statement that may as well run twice."""
        await self._pool.write(lambda transaction: transaction.send(query, bound), repeatable=True, durable=durable)

    async def _rows(self, query: str, bound: Bound) -> list[Row]:
        """Look something up; what cannot be stored is not there."""
        if not storable(*(value for value in bound.values() if isinstance(value, str))):
            return []
        return await self._pool.rows(query, bound)

    async def _one(self, query: str, bound: Bound) -> Row | None:
        rows = await self._rows(query, bound)
        return rows[0] if rows else None


def _batch(row: Row | None) -> Batch | None:
    return None if row is None else batch_of(row)
