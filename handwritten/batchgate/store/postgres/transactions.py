"""What the calls of the store do within one transaction each.

Rows are locked in one order, so that nobody waits in a circle: a batch, then its shards, its files, then blobs. Who
changes whether a shard is done holds its batch, so that the shards can be counted; since each statement sees what was
committed before it began, they are counted in a later statement than the one that waited for the batch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final, Literal, TypeAlias, cast

import msgspec

from batchgate.engine.model.batch import Batch, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.shard import Chunk, Shard, ShardJob
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.engine.support.failpoints import hit
from batchgate.store.postgres.connection import Bound, Row, Transaction
from batchgate.store.postgres.quotas import charge, make_room, spend
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

Event: TypeAlias = Literal["stop_sending", "finalize", "validate"]
"""What other processes hear of a batch: send no more of it, it can be finalized, its file can be validated."""

DROPPED_AT_ONCE: Final = 64
"""How many chunks of ended batches one transaction deletes, so that it holds up nobody."""


async def create(transaction: Transaction, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
    """Store a batch and its shards, unless it repeats an earlier create."""
    if new.idempotency_key is not None or new.deduplicate_since is not None:
        await transaction.send("lock_create", {"lock": _create_lock(new)})
        repeated = await find_repeated(transaction, new)
        if repeated is not None:
            return repeated, ()
    if new.input_blob is not None:
        await _adopt(transaction, new.input_blob)
    # Keys are visible in their order, or a page that ends at the newest would hide an older one that comes late.
    await transaction.send("lock_order", {"workspace": new.workspace})
    # A file has one request at the least; how many they are is known when it has been read.
    needs = QuotaDemand(requests=max(1, new.total), batches=1, stored_bytes=new.input_size)
    await make_room(transaction, new.workspace, needs, new.created_at)
    row = await transaction.one("insert_batch", new_batch_row(new))
    assert row is not None
    batch = batch_of(row)
    if new.input_blob is None:
        await _tell(transaction, "validate", batch.key)
    return batch, await _line_up(transaction, batch, new.shards)


async def find_repeated(transaction: Transaction, new: NewBatch) -> Batch | None:
    """Find the batch of an earlier create that this one repeats."""
    query = "find_by_fingerprint" if new.idempotency_key is None else "find_by_idempotency_key"
    row = await transaction.one(query, repeat_row(new))
    return None if row is None else batch_of(row)


def _create_lock(new: NewBatch) -> int:
    """Make a number of what two creates have in common if they may be the same."""
    text = new.fingerprint if new.idempotency_key is None else new.idempotency_key.encode()
    return int.from_bytes(blake2b(text, person=new.workspace.encode()[:16], digest_size=8).digest(), signed=True)


async def begin(transaction: Transaction, batch_key: int, begun: ValidatedInput, now: int) -> Sequence[ShardJob] | None:
    """Give a batch that was validating its requests; None if it is no longer waiting for them."""
    validating = await transaction.one("lock_validating", {"batch_key": batch_key})
    if validating is None:
        return None
    await _adopt(transaction, begun.input_blob)
    await transaction.send("lock_order", {"workspace": validating["workspace"]})
    needs = QuotaDemand(requests=begun.total, stored_bytes=begun.input_size)
    await make_room(transaction, validating["workspace"], needs, now)
    row = await transaction.one("start_batch", begun_row(batch_key, begun, now))
    assert row is not None
    return await _line_up(transaction, batch_of(row), begun.shards)


async def _line_up(transaction: Transaction, batch: Batch, shards: Sequence[Shard]) -> Sequence[ShardJob]:
    """Store the shards of a batch with a job for each, and the names that the batch is found by."""
    await transaction.send(
        "insert_providers",
        {"workspace": batch.workspace, "batch_key": batch.key, "providers": list(batch.providers)},
    )
    if shards:
        rows = [shard_row(batch.key, shard) for shard in shards]
        columns: Bound = {name: [row[name] for row in rows] for name in rows[0]} | {"batch_key": batch.key}
        await transaction.send("insert_shards", columns)
        await transaction.send("defer_jobs", columns)
    return [job_of(batch.key, shard.index) for shard in shards]


async def fail(transaction: Transaction, bound: Bound) -> bool:
    """End a batch that was validating as failed, and store what was wrong."""
    failed = await transaction.one("fail_batch", bound) is not None
    if failed:
        await transaction.send("insert_faults", bound)
    return failed


async def cancel(transaction: Transaction, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Begin to cancel a batch, and close its shards that nobody holds."""
    bound: dict[str, object] = {"workspace": workspace, "id": batch_id}
    row = await transaction.one("lock_batch", bound)
    if row is None:
        return None
    bound |= {"batch_key": row["key"], "now": now}
    if row["status"] == "validating":
        await transaction.send("cancel_validation", bound)
    elif row["status"] == "in_progress":
        await transaction.send("begin_cancel", bound)
        await _close_unclaimed(transaction, row["key"])
    await _tell(transaction, "stop_sending", row["key"])
    row = await transaction.one("find_batch", bound)
    return None if row is None else batch_of(row)


async def expire(transaction: Transaction, batch_key: int) -> None:
    """Close the shards of a batch that nobody holds, and have the others halted."""
    await transaction.send("lock_batch_by_key", {"batch_key": batch_key})
    await _close_unclaimed(transaction, batch_key)
    await _tell(transaction, "stop_sending", batch_key)


async def _close_unclaimed(transaction: Transaction, batch_key: int) -> None:
    await transaction.send("close_unclaimed_shards", {"batch_key": batch_key})
    row = await transaction.one("count_open_shards", {"batch_key": batch_key})
    if row is not None and row["open_shards"] == 0 and row["ended_at"] is None:
        await _tell(transaction, "finalize", batch_key)


async def delete(transaction: Transaction, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Delete an ended batch, with the files that show it; its blobs are loose from then on."""
    bound: dict[str, object] = {"workspace": workspace, "id": batch_id}
    row = await transaction.one("lock_batch", bound)
    if row is None:
        return None
    found = batch_of(row)
    if found.ended_at is not None:
        bound |= {"batch_key": found.key, "now": now}
        for query in ("delete_batch", "drop_providers", "delete_files_of_batch", "drop_faults"):
            await transaction.send(query, bound)
        await _give_up(transaction, found)
    return found


async def archive(transaction: Transaction, batch_key: int, now: int) -> None:
    """Mark the results of a batch as removed; its blobs are loose from then on."""
    row = await transaction.one("lock_batch_by_key", {"batch_key": batch_key})
    if row is not None and row["archived_at"] is None and row["deleted_at"] is None:
        await transaction.send("archive_batch", {"batch_key": batch_key, "now": now})
        await _give_up(transaction, batch_of(row))


async def _give_up(transaction: Transaction, batch: Batch) -> None:
    """Let the blobs of a batch go."""
    await _add_orphans(transaction, batch.blobs)
    await charge(transaction, batch.workspace, -batch.stored_bytes)


async def _add_orphans(transaction: Transaction, names: Sequence[str]) -> None:
    """Announce blobs whose owner is gone: nobody writes them."""
    await transaction.send("add_orphan_blobs", {"names": list(names)})


async def _adopt(transaction: Transaction, name: str) -> None:
    """Give a blob to its owner; refused when it has been swept away meanwhile."""
    if await transaction.one("adopt_blob", {"name": name}) is None:
        raise StoreError(f"{name} was taken for left over, and removed; its writer was not seen for too long")


async def claim(transaction: Transaction, job: ShardJob) -> Callable[[], Awaitable[tuple[Claim, bytes] | None]]:
    """Take a shard with a new epoch; what is returned reads it after the commit, with the marks of what was sent."""
    bound = {"batch_key": job.batch_key, "shard": job.shard, "key": job.batch_key}
    # Each statement sees what was committed before it: the chunks are read when no earlier epoch can add to them.
    queries = ("claim_shard", "find_batch_by_key", "finished_seqs", "sent_marks")
    shards, batches, chunks, marks = [await transaction.send(query, bound) for query in queries]

    async def read() -> tuple[Claim, bytes] | None:
        shard, batch, mark = await shards.fetchone(), await batches.fetchone(), await marks.fetchone()
        if shard is None or batch is None:
            return None
        finished = frozenset(seq for row in await chunks.fetchall() for seq in unpack(row["seqs"]))
        claimed = Claim(batch=batch_of(batch), shard=shard_of(shard), epoch=shard["epoch"], finished=finished)
        return claimed, b"" if mark is None else mark["bits"]

    return read


async def append(transaction: Transaction, claim: Claim, chunk: Chunk, *, shard_done: bool) -> bool:
    """Write results if the epoch still holds; True when the batch waits for its finalization.

    A chunk that is there already was stored by an earlier try whose answer was lost: it is not counted again.
    """
    place = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch, "done": shard_done}
    row = {"seqs": pack(chunk.seqs), "first_seq": chunk.seqs[0] if chunk.seqs else None, **place}
    locking = await transaction.send("lock_batch_by_key", place)
    fenced = await transaction.one("fence", place)
    batch = await locking.fetchone()
    if batch is None or (fenced is None and not (shard_done and await transaction.one("is_stored", row))):
        raise StaleClaim(f"shard {claim.shard.index} of {claim.batch.id} is no longer held at epoch {claim.epoch}")
    if fenced is None:
        return bool(batch["open_shards"] == 0)
    if chunk.seqs:
        await transaction.send(
            "store_chunk", row | counts_of(chunk) | {"number": fenced["number"], "lines": chunk.lines}
        )
        hit("chunk_half_flushed")
    return shard_done and await _close_shard(transaction, batch, place)


async def _close_shard(transaction: Transaction, batch: Row, place: Bound) -> bool:
    """Count a shard that is done; True if it was the last."""
    await transaction.send("close_shard", place)
    await transaction.send("drop_marks", place)
    last = bool(batch["open_shards"] == 1)
    if last:
        await _tell(transaction, "finalize", batch["key"])
    return last


async def end(transaction: Transaction, bound: Bound, results_blob: str, files: Sequence[NewFile]) -> bool:
    """Mark a batch ended with its results, and store the files that show them; False if it has ended already."""
    ended = await transaction.one("end_batch", bound)
    if ended is None:
        return False
    await _adopt(transaction, results_blob)
    await transaction.send("drop_shards", bound)
    if files:
        await transaction.send("lock_order", {"workspace": ended["workspace"]})
    for file in files:
        await transaction.send("insert_file", msgspec.structs.asdict(file))
    await spend(transaction, ended["workspace"], ended["cost"], cast("int", bound["now"]))
    await charge(transaction, ended["workspace"], cast("int", bound["results_size"]))
    return True


async def create_file(transaction: Transaction, new: NewFile) -> File:
    """Store a file that was uploaded."""
    await _adopt(transaction, str(new.blob))
    await transaction.send("lock_order", {"workspace": new.workspace})
    await make_room(transaction, new.workspace, QuotaDemand(stored_bytes=new.size), new.created_at)
    row = await transaction.one("insert_file", msgspec.structs.asdict(new))
    assert row is not None
    return file_of(row)


async def delete_file(transaction: Transaction, bound: Bound) -> File | None:
    """Delete a file; what it held is loose from then on."""
    await transaction.send("lock_batch_of_file", bound)
    row = await transaction.one("delete_file", bound)
    if row is None:
        return None
    await _let_go(transaction, row)
    return file_of(row)


async def expire_files(transaction: Transaction, now: int) -> None:
    """Delete some files that have expired."""
    bound = {"now": now, "ids": [row["id"] for row in await transaction.rows("expired_files", {"now": now})]}
    if bound["ids"]:
        await transaction.send("lock_batches_of_files", bound)
        for row in await transaction.rows("expire_files", bound):
            await _let_go(transaction, row)


async def _let_go(transaction: Transaction, file: Row) -> None:
    """Loosen what a deleted file held: its blob, or the bodies of the batch of which it was the last to show a part."""
    bound = {"id": file["batch_id"], "workspace": file["workspace"]}
    if file["batch_id"] is None:
        await _add_orphans(transaction, (file["blob"],))
        await charge(transaction, file["workspace"], -file["size"])
    elif await transaction.one("has_files", bound) is None:
        batch = await transaction.one("find_batch", bound)
        if batch is not None:
            await archive(transaction, batch["key"], file["deleted_at"])


async def _tell(transaction: Transaction, event: Event, batch_key: int) -> None:
    """Have other processes hear of a batch when this is committed."""
    await transaction.send("tell", {"event": event, "batch_key": batch_key})
