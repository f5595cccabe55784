"""`Store` on one SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from batchgate.engine.model.batch import Backlog, Batch, BatchPage, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.file import File, FilePage, NewFile
from batchgate.engine.model.shard import Chunk, ShardJob
from batchgate.engine.model.usage import Counts
from batchgate.store.records import batch_of, end_row, file_of, job_of, shard_of, unpack
from batchgate.store.sqlite import transactions
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.migrate import migrate
from batchgate.store.sqlite.secrets import SqliteSecrets
from batchgate.store.sqlite.sent_marks import SentMarks
from batchgate.store.sqlite.tenants import SqliteTenants
from batchgate.store.sqlite.transactions import QUERIES, one

NO_UPPER_BOUND = 2**63 - 1


class SqliteStore:
    """Batches, shards, chunks and files in one SQLite file. An async context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SqliteFile(path)
        self.secrets: Final = SqliteSecrets(self._file)
        self.tenants = SqliteTenants(self._file)
        """The workspaces and the keys, for as long as the store is entered."""
        self._marks = SentMarks(path.with_suffix(".sent"))

    async def __aenter__(self) -> Self:
        """Bring the schema up to date, and give back the shards that a stopped process held."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.start()
        try:
            await asyncio.to_thread(migrate, self._file.connect)
            await self._file.write(transactions.prepare)
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
        """Finish what is queued and close the files."""
        await self._file.close()
        self._marks.close()

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
        """Store a batch and its shards, all or nothing."""
        return await self._file.write(lambda connection: transactions.create(connection, new))

    async def find_repeated(self, new: NewBatch) -> Batch | None:
        """Find the batch that `create_batch` would return instead of storing this one."""
        return await self._file.read(lambda connection: transactions.find_repeated(connection, new))

    async def start_batch(self, batch_key: int, begun: ValidatedInput, now: int) -> Sequence[ShardJob] | None:
        """Give a batch that was validating its requests; None if it is no longer waiting for them."""
        return await self._file.write(lambda connection: transactions.begin(connection, batch_key, begun, now))

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a batch that was validating as failed; False if it is no longer validating."""
        bound = {"batch_key": batch_key, "faults": faults, "first_faults": first_faults, "now": now}
        return await self._file.write(lambda connection: transactions.fail(connection, bound))

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all that was wrong with the file of a batch."""
        row = await self._file.read(lambda connection: one(connection, "find_faults", {"batch_key": batch_key}))
        return None if row is None else bytes(row["faults"])

    async def drop_faults(self, failed_before: int) -> None:
        """Forget what was wrong with the files of batches that failed before a time, but for its beginning."""
        bound = {"failed_before": failed_before}
        await self._file.write(lambda connection: connection.execute(QUERIES["drop_old_faults"], bound).rowcount)

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose files wait for their validation."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["validating_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; deleted ones are not found."""
        return await self._file.read(lambda connection: transactions.find(connection, workspace, batch_id))

    async def find_batch_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch for paging; deleted batches still have theirs."""
        bound = {"workspace": workspace, "id": batch_id}
        row = await self._file.read(lambda connection: one(connection, "find_batch_cursor", bound))
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
        rows = await self._file.read(lambda connection: connection.execute(QUERIES[name], bound).fetchall())
        batches = [batch_of(row) for row in rows[:limit]]
        return BatchPage(batches=tuple(reversed(batches) if backwards else batches), has_more=len(rows) > limit)

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Begin to cancel a batch in progress; others stay unchanged."""
        return await self._file.write(lambda connection: transactions.cancel(connection, workspace, batch_id, now))

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Take an ended batch away but for its cursor, and answer with what it was."""
        return await self._file.write(lambda connection: transactions.delete(connection, workspace, batch_id, now))

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Take a shard with a new epoch; None if it is done already."""
        claim = await self._file.write(lambda connection: transactions.claim(connection, job))
        if claim is None:
            return None
        sent = {claim.shard.first_seq + number for number in self._marks.take((job.batch_key, job.shard))}
        return msgspec.structs.replace(claim, sent=sent - claim.finished)

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Remember that a request is about to be sent, or that what came of it needs no remembering."""
        self._marks.mark((claim.batch.key, claim.shard.index), seq - claim.shard.first_seq, sent=sent)

    async def append_chunk(self, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
        """Write results if the epoch still holds; True when the whole batch waits for its finalization."""
        finalizable = await self._file.write(
            lambda connection: transactions.append(connection, claim, chunk, shard_done=shard_done)
        )
        if shard_done:
            self._marks.drop((claim.batch.key, claim.shard.index))
        return finalizable

    async def release_shard(self, claim: Claim) -> None:
        """Let go of a shard that is not done."""
        bound = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
        await self._file.write(lambda connection: connection.execute(QUERIES["release_shard"], bound))

    async def unfinished_jobs(self) -> Sequence[ShardJob]:
        """Read the jobs of all shards that are not done."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["unfinished_jobs"]).fetchall())
        return [job_of(row["batch_key"], row["shard"]) for row in rows]

    async def finalizable_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their finalization."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["finalizable_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def overdue_batches(self, now: int) -> Sequence[int]:
        """Read the keys of the batches that are past their time and have not ended."""
        bound = {"now": now}
        rows = await self._file.read(
            lambda connection: connection.execute(QUERIES["overdue_batches"], bound).fetchall()
        )
        return [row["key"] for row in rows]

    async def expire_batch(self, batch_key: int) -> None:
        """Close the shards of a batch that no worker holds."""
        await self._file.write(lambda connection: transactions.close_unclaimed(connection, batch_key))

    async def find_batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        row = await self._file.read(lambda connection: one(connection, "find_batch_by_key", {"key": key}))
        return None if row is None else batch_of(row)

    async def list_shards(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order."""
        bound = {"batch_key": batch.key}
        rows = await self._file.read(lambda c: c.execute(QUERIES["shards_of_batch"], bound).fetchall())
        return [Claim(batch=batch, shard=shard_of(row), epoch=row["epoch"], finished=frozenset()) for row in rows]

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[Chunk]:
        """Read the results of a shard in the order in which they were flushed."""
        bound = {"batch_key": batch_key, "shard": shard}
        rows = await self._file.read(lambda c: c.execute(QUERIES["chunks_of_shard"], bound).fetchall())
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
        return await self._file.write(lambda connection: transactions.end(connection, bound, files))

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of a batch that has ended, a few at a time."""
        while await self._file.write(lambda connection: transactions.drop_chunks(connection, batch_key)):
            continue

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches, created before a time, that still have results."""
        bound = {"created_before": created_before}
        rows = await self._file.read(lambda c: c.execute(QUERIES["archivable_batches"], bound).fetchall())
        return [batch_of(row) for row in rows]

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Mark the results of a batch as removed."""
        await self._file.write(lambda connection: transactions.archive(connection, batch_key, now))

    async def next_due(self, now: int, retention: int) -> int | None:
        """Tell when the next batch or file expires, or a batch has been there for as long as results are kept."""
        bound = {"now": now, "retention": retention}
        row = await self._file.read(lambda connection: one(connection, "next_due", bound))
        return None if row is None else row[0]

    async def add_orphan_blob(self, name: str) -> None:
        """Remember a blob that is about to be written and has no owner yet."""
        await self._file.write(lambda connection: transactions.add_orphans(connection, (name,)))

    async def list_orphan_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["list_orphan_blobs"]).fetchall())
        return [row["name"] for row in rows]

    async def tombstone_blob(self, name: str) -> bool:
        """Tell if a blob has no owner and has not been forgotten: only this process could give it one."""
        return await self._file.read(lambda connection: one(connection, "is_orphan", {"name": name})) is not None

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Tell if a blob belongs to the batch or file of that id, and it has not been deleted."""
        bound = {"owner": owner, "name": name}
        return await self._file.read(lambda connection: one(connection, "owns_blob", bound)) is not None

    async def forget_orphan_blobs(self, names: Sequence[str]) -> None:
        """Forget blobs that have been removed."""
        bound = [{"name": name} for name in names]
        await self._file.write(lambda connection: connection.executemany(QUERIES["forget_orphan_blob"], bound).rowcount)

    async def backlog(self) -> Backlog:
        """Count what is undone."""
        return await self._file.read(transactions.backlog)

    async def create_file(self, new: NewFile) -> File:
        """Store a file."""
        return await self._file.write(lambda connection: transactions.create_file(connection, new))

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; those that are deleted or expired by ``now`` are not found."""
        bound = {"workspace": workspace, "id": file_id, "now": now}
        row = await self._file.read(lambda connection: one(connection, "find_file", bound))
        return None if row is None else file_of(row)

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file for paging; files that are gone still have theirs."""
        bound = {"workspace": workspace, "id": file_id}
        row = await self._file.read(lambda connection: one(connection, "find_file_cursor", bound))
        return None if row is None else int(row["key"])

    async def list_files(
        self, workspace: str, *, after: int | None, ascending: bool, limit: int, **filters: str | int | None
    ) -> FilePage:
        """Read a page in the order of upload or against it; see `Store.list_files`."""
        name = "list_files_oldest_first" if ascending else "list_files_newest_first"
        start = after if after is not None else 0 if ascending else NO_UPPER_BOUND
        bound = {"workspace": workspace, "after": start, "limit": limit + 1, **filters}
        rows = await self._file.read(lambda connection: connection.execute(QUERIES[name], bound).fetchall())
        return FilePage(files=tuple(file_of(row) for row in rows[:limit]), has_more=len(rows) > limit)

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Take a file away but for its cursor, and answer with what it was."""
        bound = {"workspace": workspace, "id": file_id, "now": now}
        return await self._file.write(lambda connection: transactions.delete_file(connection, bound))

    async def expire_files(self, now: int) -> None:
        """Take some files away that have expired."""
        await self._file.write(lambda connection: transactions.expire_files(connection, now))
