"""What the calls of the store do within one transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from batchgate.engine.model.batch import Backlog, Batch, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.shard import Chunk, Shard, ShardJob
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.engine.support.failpoints import hit
from batchgate.store.queries import load_queries
from batchgate.store.records import (
    batch_of,
    begun_row,
    counts_of,
    file_of,
    job_of,
    new_batch_row,
    pack,
    repeat_row,
    shard_of,
    shard_row,
    unpack,
)
from batchgate.store.sqlite.quotas import charge, make_room, spend

QUERIES = load_queries("batchgate.store.sqlite", "queries.sql")
DROPPED_AT_ONCE = 64
"""How many chunks of ended batches one transaction deletes, so that it holds up nobody."""


def prepare(connection: sqlite3.Connection) -> None:
    """Undo what a stopped process held or left."""
    connection.execute(QUERIES["release_claims"])
    for row in connection.execute(QUERIES["ended_with_chunks"]).fetchall():
        while drop_chunks(connection, row["batch_key"]):
            continue


def create(connection: sqlite3.Connection, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
    """Store a batch and its shards, unless it repeats an earlier create."""
    repeated = find_repeated(connection, new)
    if repeated is not None:
        return repeated, ()
    if new.input_blob is not None:
        _adopt(connection, new.input_blob)
    # A file has one request at the least; how many they are is known when it has been read.
    needs = QuotaDemand(requests=max(1, new.total), batches=1, stored_bytes=new.input_size)
    make_room(connection, new.workspace, needs, new.created_at)
    batch = batch_of(connection.execute(QUERIES["insert_batch"], new_batch_row(new)).fetchone())
    return batch, _line_up(connection, batch, new.shards)


def begin(connection: sqlite3.Connection, batch_key: int, begun: ValidatedInput, now: int) -> Sequence[ShardJob] | None:
    """Give a batch that was validating its requests; None if it is no longer waiting for them."""
    validating = one(connection, "find_validating", {"batch_key": batch_key})
    if validating is None:
        return None
    needs = QuotaDemand(requests=begun.total, stored_bytes=begun.input_size)
    make_room(connection, validating["workspace"], needs, now)
    _adopt(connection, begun.input_blob)
    row = connection.execute(QUERIES["start_batch"], begun_row(batch_key, begun, now)).fetchone()
    return _line_up(connection, batch_of(row), begun.shards)


def _line_up(connection: sqlite3.Connection, batch: Batch, shards: Sequence[Shard]) -> Sequence[ShardJob]:
    """Store the shards of a batch, and the names that it is found by."""
    connection.executemany(QUERIES["insert_provider"], _providers(batch))
    connection.executemany(QUERIES["insert_shard"], [shard_row(batch.key, shard) for shard in shards])
    return [job_of(batch.key, shard.index) for shard in shards]


def _providers(batch: Batch) -> list[dict[str, object]]:
    return [{"workspace": batch.workspace, "provider": name, "batch_key": batch.key} for name in batch.providers]


def fail(connection: sqlite3.Connection, bound: Mapping[str, object]) -> bool:
    """End a batch that was validating as failed, and store what was wrong."""
    failed = connection.execute(QUERIES["fail_batch"], bound).rowcount > 0
    if failed:
        connection.execute(QUERIES["insert_faults"], bound)
    return failed


def find_repeated(connection: sqlite3.Connection, new: NewBatch) -> Batch | None:
    """Find the batch of an earlier create that this one repeats."""
    bound, row = repeat_row(new), None
    if new.idempotency_key is not None:
        row = one(connection, "find_by_idempotency_key", bound)
    elif new.deduplicate_since is not None:
        row = one(connection, "find_by_fingerprint", bound)
    return None if row is None else batch_of(row)


def find(connection: sqlite3.Connection, workspace: str, batch_id: str) -> Batch | None:
    """Read a batch of a workspace."""
    row = one(connection, "find_batch", {"workspace": workspace, "id": batch_id})
    return None if row is None else batch_of(row)


def cancel(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Begin to cancel a batch, and close its shards that nobody holds."""
    bound = {"workspace": workspace, "id": batch_id, "now": now}
    connection.execute(QUERIES["cancel_validation"], bound)
    row = one(connection, "begin_cancel", bound)
    if row is not None:
        close_unclaimed(connection, row["key"])
    return find(connection, workspace, batch_id)


def close_unclaimed(connection: sqlite3.Connection, batch_key: int) -> None:
    """Mark the shards of a batch done that no worker holds."""
    connection.execute(QUERIES["close_unclaimed_shards"], {"batch_key": batch_key})
    connection.execute(QUERIES["count_open_shards"], {"batch_key": batch_key})


def delete(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Delete an ended batch, with the files that show it; its blobs are loose from then on."""
    found = find(connection, workspace, batch_id)
    bound = {"workspace": workspace, "id": batch_id, "now": now}
    if found is not None and connection.execute(QUERIES["delete_batch"], bound).rowcount:
        connection.executemany(QUERIES["drop_providers"], _providers(found))
        connection.execute(QUERIES["delete_files_of_batch"], bound)
        connection.execute(QUERIES["drop_faults"], {"batch_key": found.key})
        _give_up(connection, found)
    return found


def archive(connection: sqlite3.Connection, batch_key: int, now: int) -> None:
    """Mark the results of a batch as removed; its blobs are loose from then on."""
    row = one(connection, "find_batch_by_key", {"key": batch_key})
    archived = connection.execute(QUERIES["archive_batch"], {"batch_key": batch_key, "now": now})
    if row is not None and archived.rowcount:
        _give_up(connection, batch_of(row))


def _give_up(connection: sqlite3.Connection, batch: Batch) -> None:
    """Let the blobs of a batch go."""
    add_orphans(connection, batch.blobs)
    charge(connection, batch.workspace, -batch.stored_bytes)


def add_orphans(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    """Announce blobs that have no owner."""
    connection.executemany(QUERIES["add_orphan_blob"], [{"name": name} for name in names])


def _adopt(connection: sqlite3.Connection, name: str) -> None:
    """Give a blob to a batch; refused when it has been swept away meanwhile."""
    if connection.execute(QUERIES["forget_orphan_blob"], {"name": name}).rowcount == 0:
        raise StoreError(f"{name} was taken for left over, and removed; another gateway has started on this database")


def claim(connection: sqlite3.Connection, job: ShardJob) -> Claim | None:
    """Take a shard with a new epoch."""
    bound = {"batch_key": job.batch_key, "shard": job.shard}
    row = one(connection, "claim_shard", bound)
    batch = one(connection, "find_batch_by_key", {"key": job.batch_key})
    if row is None or batch is None:
        return None
    chunks = connection.execute(QUERIES["finished_seqs"], bound)
    finished = frozenset(seq for (seqs,) in chunks for seq in unpack(seqs))
    return Claim(batch=batch_of(batch), shard=shard_of(row), epoch=row["epoch"], finished=finished)


def append(connection: sqlite3.Connection, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
    """Write results if the epoch still holds; True when the batch waits for its finalization."""
    place = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    fenced = connection.execute(QUERIES["fence"], {**place, "epoch": claim.epoch, "done": int(shard_done)})
    if fenced.rowcount == 0:
        raise StaleClaim(f"shard {claim.shard.index} of {claim.batch.id} is no longer held at epoch {claim.epoch}")
    counts = counts_of(chunk)
    if chunk.seqs:
        packed = pack(chunk.seqs)
        connection.execute(QUERIES["insert_chunk"], {**place, **counts, "seqs": packed, "lines": chunk.lines})
        hit("chunk_half_flushed")
    bound = {"batch_key": claim.batch.key, "shards_done": int(shard_done), **counts}
    (open_shards,) = connection.execute(QUERIES["count_results"], bound).fetchone()
    return shard_done and int(open_shards) == 0


def end(connection: sqlite3.Connection, bound: Mapping[str, object], files: Sequence[NewFile]) -> bool:
    """Mark a batch ended with its results, and store the files that show them; False if it has ended already."""
    size, now = cast("int", bound["results_size"]), cast("int", bound["now"])
    row = one(connection, "end_batch", bound)
    if row is None:
        return False
    charge(connection, row["workspace"], size)
    spend(connection, row["workspace"], row["cost"], now)
    _adopt(connection, str(bound["results_blob"]))
    connection.execute(QUERIES["drop_shards"], bound)
    for file in files:
        one(connection, "insert_file", msgspec.structs.asdict(file))
    return True


def drop_chunks(connection: sqlite3.Connection, batch_key: int) -> bool:
    """Delete some chunks of an ended batch; True if there may be more."""
    bound = {"batch_key": batch_key, "limit": DROPPED_AT_ONCE}
    return connection.execute(QUERIES["drop_chunks"], bound).rowcount > 0


def backlog(connection: sqlite3.Connection) -> Backlog:
    """Count what is undone."""
    open_batches = connection.execute(QUERIES["open_batches"]).fetchall()
    waiting = connection.execute(QUERIES["waiting_shards"]).fetchone()
    return Backlog(
        batches={(row["workspace"], row["status"]): row["number"] for row in open_batches},
        waiting_shards=waiting["number"],
        waiting_since=waiting["since"],
    )


def create_file(connection: sqlite3.Connection, new: NewFile) -> File:
    """Store a file that was uploaded."""
    _adopt(connection, str(new.blob))
    make_room(connection, new.workspace, QuotaDemand(stored_bytes=new.size), new.created_at)
    return file_of(connection.execute(QUERIES["insert_file"], msgspec.structs.asdict(new)).fetchone())


def delete_file(connection: sqlite3.Connection, bound: Mapping[str, object]) -> File | None:
    """Delete a file; what it held is loose from then on."""
    row = one(connection, "delete_file", bound)
    if row is None:
        return None
    _let_go(connection, row)
    return file_of(row)


def expire_files(connection: sqlite3.Connection, now: int) -> None:
    """Delete some files that have expired."""
    for row in connection.execute(QUERIES["expire_files"], {"now": now}).fetchall():
        _let_go(connection, row)


def _let_go(connection: sqlite3.Connection, file: sqlite3.Row) -> None:
    """Loosen what a deleted file held: its blob, or the bodies of the batch of which it was the last to show a part."""
    if file["batch_id"] is None:
        add_orphans(connection, (file["blob"],))
        charge(connection, file["workspace"], -file["size"])
    elif one(connection, "has_files", {"id": file["batch_id"]}) is None:
        batch = find(connection, file["workspace"], file["batch_id"])
        if batch is not None:
            archive(connection, batch.key, file["deleted_at"])


def one(connection: sqlite3.Connection, query: str, bound: Mapping[str, object]) -> sqlite3.Row | None:
    """Read one row."""
    row: sqlite3.Row | None = connection.execute(QUERIES[query], bound).fetchone()
    return row
