"""`Store` on one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from batchgate.engine.batch import Backlog, Batch, Chunk, Claim, Counts, NewBatch, Page, ShardJob
from batchgate.engine.errors import StaleEpoch, StoreError
from batchgate.engine.failpoints import hit
from batchgate.engine.file import File, FilePage, NewFile
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.records import batch_of, file_of, new_batch_row, pack, shard_of, shard_row, unpack
from batchgate.store.sqlite.sent_marks import SentMarks

SCHEMA_VERSION = 1
QUERIES = load_queries("batchgate.store.sqlite", "queries.sql")
NO_UPPER_BOUND = 2**63 - 1
DROPPED_AT_ONCE = 64
"""How many chunks of ended batches one transaction deletes, so that it holds up nobody."""


class SqliteStore:
    """Batches, shards, chunks and files in one SQLite file. An async context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SqliteFile(path)
        self._marks = SentMarks(path.with_suffix(".sent"))

    async def __aenter__(self) -> Self:
        """Create or check the schema, and give back the shards that a stopped process held."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file.start()
        try:
            await self._file.write(_prepare)
            self._marks.open([(job.batch_key, job.shard) for job in await self.open_jobs()])
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
        return await self._file.write(lambda connection: _create(connection, new))

    async def find_batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Read a batch of a workspace; deleted ones are not found."""
        return await self._file.read(lambda connection: _find(connection, workspace, batch_id))

    async def find_cursor(self, workspace: str, batch_id: str) -> int | None:
        """Read the key of a batch for paging; deleted batches still have theirs."""
        bound = {"workspace": workspace, "id": batch_id}
        row = await self._file.read(lambda connection: _one(connection, "find_cursor", bound))
        return None if row is None else int(row["key"])

    async def list_batches(
        self, workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
    ) -> Page:
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
        return Page(batches=tuple(reversed(batches) if backwards else batches), has_more=len(rows) > limit)

    async def cancel_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Begin to cancel a batch in progress; others stay unchanged."""
        return await self._file.write(lambda connection: _cancel(connection, workspace, batch_id, now))

    async def delete_batch(self, workspace: str, batch_id: str, now: int) -> Batch | None:
        """Take an ended batch away but for its cursor, and answer with what it was."""
        return await self._file.write(lambda connection: _delete(connection, workspace, batch_id, now))

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Take a shard with a new epoch; None if it is done already."""
        claim = await self._file.write(lambda connection: _claim(connection, job))
        if claim is None:
            return None
        sent = {claim.shard.first_seq + number for number in self._marks.take((job.batch_key, job.shard))}
        return msgspec.structs.replace(claim, sent=sent - claim.finished)

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Remember that a request is about to be sent, or that what came of it needs no remembering."""
        self._marks.mark((claim.batch.key, claim.shard.index), seq - claim.shard.first_seq, sent=sent)

    async def append_chunk(self, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
        """Write results if the epoch still holds; True when the whole batch waits for its sealing."""
        sealable = await self._file.write(lambda connection: _append(connection, claim, chunk, shard_done=shard_done))
        if shard_done:
            self._marks.drop((claim.batch.key, claim.shard.index))
        return sealable

    async def release_shard(self, claim: Claim) -> None:
        """Let go of a shard that is not done."""
        bound = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch}
        await self._file.write(lambda connection: connection.execute(QUERIES["release_shard"], bound))

    async def open_jobs(self) -> Sequence[ShardJob]:
        """Read the jobs of all shards that are not done."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["open_jobs"]).fetchall())
        return [job_of(row["batch_key"], row["shard"]) for row in rows]

    async def sealable_batches(self) -> Sequence[int]:
        """Read the keys of the batches that wait for their sealing."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["sealable_batches"]).fetchall())
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
        await self._file.write(lambda connection: _close_unclaimed(connection, batch_key))

    async def batch_by_key(self, key: int) -> Batch | None:
        """Read a batch by its key."""
        row = await self._file.read(lambda connection: _one(connection, "batch_by_key", {"key": key}))
        return None if row is None else batch_of(row)

    async def shard_claims(self, batch: Batch) -> Sequence[Claim]:
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
        self, batch_key: int, *, counts: Counts, results_blob: str, results_size: int, now: int
    ) -> bool:
        """Mark a batch ended with its sealed results; False if it has ended already."""
        bound = {"batch_key": batch_key, "results_blob": results_blob, "results_size": results_size, "now": now}
        bound |= msgspec.structs.asdict(counts)
        return await self._file.write(lambda connection: _end(connection, bound))

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of a batch that has ended, a few at a time."""
        while await self._file.write(lambda connection: _drop_chunks(connection, batch_key)):
            continue

    async def archivable_batches(self, created_before: int) -> Sequence[Batch]:
        """Read some ended batches, created before a time, that still have results."""
        bound = {"created_before": created_before}
        rows = await self._file.read(lambda c: c.execute(QUERIES["archivable_batches"], bound).fetchall())
        return [batch_of(row) for row in rows]

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Mark the results of a batch as removed."""
        await self._file.write(lambda connection: _archive(connection, batch_key, now))

    async def next_due(self, now: int, retention: int) -> int | None:
        """Tell when the next batch or file expires, or a batch has been there for as long as results are kept."""
        bound = {"now": now, "retention": retention}
        row = await self._file.read(lambda connection: _one(connection, "next_due", bound))
        return None if row is None else row[0]

    async def add_loose_blob(self, name: str) -> None:
        """Remember a blob that is about to be written and has no owner yet."""
        await self._file.write(lambda connection: _loosen(connection, (name,)))

    async def loose_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["loose_blobs"]).fetchall())
        return [row["name"] for row in rows]

    async def is_loose(self, name: str) -> bool:
        """Tell if a blob has no owner and has not been forgotten."""
        return await self._file.read(lambda connection: _one(connection, "is_loose", {"name": name})) is not None

    async def has_blob(self, owner: str, name: str) -> bool:
        """Tell if a blob belongs to the batch or file of that id, and it has not been deleted."""
        bound = {"owner": owner, "name": name}
        return await self._file.read(lambda connection: _one(connection, "has_blob", bound)) is not None

    async def drop_loose_blobs(self, names: Sequence[str]) -> None:
        """Forget blobs that have been removed."""
        bound = [{"name": name} for name in names]
        await self._file.write(lambda connection: connection.executemany(QUERIES["drop_loose_blob"], bound).rowcount)

    async def backlog(self) -> Backlog:
        """Count what is undone."""
        return await self._file.read(_backlog)

    async def create_file(self, new: NewFile) -> File:
        """Store a file."""
        return await self._file.write(lambda connection: _create_file(connection, new))

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; those that are deleted or expired by ``now`` are not found."""
        bound = {"workspace": workspace, "id": file_id, "now": now}
        row = await self._file.read(lambda connection: _one(connection, "find_file", bound))
        return None if row is None else file_of(row)

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file for paging; files that are gone still have theirs."""
        bound = {"workspace": workspace, "id": file_id}
        row = await self._file.read(lambda connection: _one(connection, "find_file_cursor", bound))
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
        return await self._file.write(lambda connection: _delete_file(connection, bound))

    async def expire_files(self, now: int) -> None:
        """Take some files away that have expired."""
        await self._file.write(lambda connection: _expire_files(connection, now))


def job_of(batch_key: int, shard: int) -> ShardJob:
    """Put a shard in line: the first shards of every batch before the second ones of any."""
    return ShardJob(priority=shard, batch_key=batch_key, shard=shard)


def _prepare(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == 0:
        for statement in files("batchgate.store.sqlite").joinpath("schema.sql").read_text().split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif found != SCHEMA_VERSION:
        raise StoreError(f"the database has schema {found}; this version of Batchgate reads schema {SCHEMA_VERSION}")
    connection.execute(QUERIES["release_claims"])
    for row in connection.execute(QUERIES["ended_with_chunks"]).fetchall():
        while _drop_chunks(connection, row["batch_key"]):
            continue


def _create(connection: sqlite3.Connection, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
    repeated = _repeated(connection, new)
    if repeated is not None:
        return repeated, ()
    _adopt(connection, new.input_blob)
    batch = batch_of(connection.execute(QUERIES["insert_batch"], new_batch_row(new)).fetchone())
    connection.executemany(QUERIES["insert_shard"], [shard_row(batch.key, shard) for shard in new.shards])
    return batch, [job_of(batch.key, shard.index) for shard in new.shards]


def _repeated(connection: sqlite3.Connection, new: NewBatch) -> Batch | None:
    """Find the batch of an earlier create that this one repeats."""
    bound = {name: getattr(new, name) for name in ("workspace", "caller", "fingerprint", "repeats_since")}
    row = None
    if new.idempotency_key is not None:
        row = _one(connection, "find_by_idempotency_key", {**bound, "idempotency_key": new.idempotency_key})
    elif new.repeats_since is not None:
        row = _one(connection, "find_by_fingerprint", bound)
    return None if row is None else batch_of(row)


def _find(connection: sqlite3.Connection, workspace: str, batch_id: str) -> Batch | None:
    row = _one(connection, "find_batch", {"workspace": workspace, "id": batch_id})
    return None if row is None else batch_of(row)


def _cancel(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    bound = {"workspace": workspace, "id": batch_id, "now": now}
    row = _one(connection, "begin_cancel", bound)
    if row is not None:
        _close_unclaimed(connection, row["key"])
    return _find(connection, workspace, batch_id)


def _close_unclaimed(connection: sqlite3.Connection, batch_key: int) -> None:
    connection.execute(QUERIES["close_unclaimed_shards"], {"batch_key": batch_key})
    connection.execute(QUERIES["count_open_shards"], {"batch_key": batch_key})


def _delete(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    found = _find(connection, workspace, batch_id)
    connection.execute(QUERIES["delete_batch"], {"workspace": workspace, "id": batch_id, "now": now})
    if found is not None and found.status == "ended":
        _loosen(connection, found.blobs)
    return found


def _archive(connection: sqlite3.Connection, batch_key: int, now: int) -> None:
    row = _one(connection, "batch_by_key", {"key": batch_key})
    archived = connection.execute(QUERIES["archive_batch"], {"batch_key": batch_key, "now": now})
    if row is not None and archived.rowcount:
        _loosen(connection, batch_of(row).blobs)


def _loosen(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    connection.executemany(QUERIES["add_loose_blob"], [{"name": name} for name in names])


def _adopt(connection: sqlite3.Connection, name: str) -> None:
    """Give a blob to a batch; refused when it has been swept away meanwhile."""
    if connection.execute(QUERIES["drop_loose_blob"], {"name": name}).rowcount == 0:
        raise StoreError(f"{name} was taken for left over, and removed; another gateway has started on this database")


def _claim(connection: sqlite3.Connection, job: ShardJob) -> Claim | None:
    bound = {"batch_key": job.batch_key, "shard": job.shard}
    row = _one(connection, "claim_shard", bound)
    batch = _one(connection, "batch_by_key", {"key": job.batch_key})
    if row is None or batch is None:
        return None
    chunks = connection.execute(QUERIES["finished_seqs"], bound)
    finished = frozenset(seq for (seqs,) in chunks for seq in unpack(seqs))
    return Claim(batch=batch_of(batch), shard=shard_of(row), epoch=row["epoch"], finished=finished)


def _append(connection: sqlite3.Connection, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
    place = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    fenced = connection.execute(QUERIES["fence"], {**place, "epoch": claim.epoch, "done": int(shard_done)})
    if fenced.rowcount == 0:
        raise StaleEpoch(f"shard {claim.shard.index} of {claim.batch.id} is no longer held at epoch {claim.epoch}")
    counts = {"succeeded": chunk.succeeded, "errored": chunk.errored, "repeated": chunk.repeated}
    if chunk.seqs:
        packed = pack(chunk.seqs)
        connection.execute(QUERIES["insert_chunk"], {**place, **counts, "seqs": packed, "lines": chunk.lines})
        hit("chunk_half_flushed")
    bound = {"batch_key": claim.batch.key, "shards_done": int(shard_done), **counts}
    (open_shards,) = connection.execute(QUERIES["count_results"], bound).fetchone()
    return shard_done and int(open_shards) == 0


def _end(connection: sqlite3.Connection, bound: Mapping[str, object]) -> bool:
    if connection.execute(QUERIES["end_batch"], bound).rowcount == 0:
        return False
    _adopt(connection, str(bound["results_blob"]))
    connection.execute(QUERIES["drop_shards"], bound)
    return True


def _drop_chunks(connection: sqlite3.Connection, batch_key: int) -> bool:
    bound = {"batch_key": batch_key, "limit": DROPPED_AT_ONCE}
    return connection.execute(QUERIES["drop_chunks"], bound).rowcount > 0


def _backlog(connection: sqlite3.Connection) -> Backlog:
    open_batches = connection.execute(QUERIES["open_batches"]).fetchall()
    waiting = connection.execute(QUERIES["waiting_shards"]).fetchone()
    return Backlog(
        batches={row["status"]: row["number"] for row in open_batches},
        waiting_shards=waiting["number"],
        waiting_since=waiting["since"],
    )


def _create_file(connection: sqlite3.Connection, new: NewFile) -> File:
    _adopt(connection, new.blob)
    return file_of(connection.execute(QUERIES["insert_file"], msgspec.structs.asdict(new)).fetchone())


def _delete_file(connection: sqlite3.Connection, bound: Mapping[str, object]) -> File | None:
    row = _one(connection, "delete_file", bound)
    if row is None:
        return None
    _loosen(connection, (row["blob"],))
    return file_of(row)


def _expire_files(connection: sqlite3.Connection, now: int) -> None:
    rows = connection.execute(QUERIES["expire_files"], {"now": now}).fetchall()
    _loosen(connection, [row["blob"] for row in rows])


def _one(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(QUERIES[query], bound).fetchone()
    return row
