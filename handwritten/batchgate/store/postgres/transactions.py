"""The transactions of the store, one function each.

Rows are locked in one order, so that no deadlock occurs: a batch, its native jobs, its shards, the usage of the day,
monthly budgets, its files, then blobs. A transaction that changes whether a shard is done or held locks its batch, so
that the open shards can be counted. A statement sees what was committed before it began, so they are counted in a later
statement than the one that waited for the lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final, cast

import msgspec

from batchgate.engine.model.batch import Batch, NewBatch, ValidatedInput
from batchgate.engine.model.batch_event import creation_events, end_event, may_tell, result_events, start_event
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import LostBlob
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import NewFile, counted_size
from batchgate.engine.model.shard import QueuedShard, ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.store.budget_records import budgets_from_rows, charged_spenders, spender_columns
from batchgate.store.native_records import finished_seqs, withheld_seqs
from batchgate.store.postgres.budgets import check_key_budget, reached_budgets
from batchgate.store.postgres.connection import Params, Row, Transaction
from batchgate.store.postgres.failures import add_failures, add_unfinished
from batchgate.store.postgres.pauses import notify, pause_by_results
from batchgate.store.postgres.quotas import add_stored_bytes, reserve_quota
from batchgate.store.postgres.usage import usage_row
from batchgate.store.postgres.webhooks import add_events
from batchgate.store.records import (
    batch_from_row,
    calls_row,
    chunk_counts,
    duplicate_lookup_row,
    is_overdue,
    new_batch_row,
    pack_seqs,
    shard_from_row,
    shard_job,
    shard_row,
    stale_claim,
    validated_input_row,
)
from batchgate.store.result_pauses import may_change_pause
from batchgate.store.series_records import series_row

DROP_CHUNKS_LIMIT: Final = 64
"""Chunks that one transaction deletes at most, so that it does not delay others."""
_DELETES: Final = (
    "delete_batch",
    "drop_native_jobs",
    "drop_lanes",
    "drop_failures",
    "drop_series",
    "drop_timeline",
    "drop_providers",
    "delete_files_of_batch",
    "drop_faults",
    "expire_outputs",
)
"""The statements that delete a batch."""


async def create_batch(transaction: Transaction, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
    """Store a batch and its shards, or return the batch of an earlier create that this one repeats."""
    if new.idempotency_key is not None or new.deduplicate_since is not None:
        await transaction.execute("lock_create", {"lock": _create_lock(new)})
        repeated = await find_repeated(transaction, new)
        if repeated is not None:
            return repeated, ()
    if new.input_blob is not None:
        await adopt_blob(transaction, new.input_blob)
    # Keys become visible in their order; otherwise a paging cursor could skip a key that is committed late.
    await transaction.execute("lock_workspace_order", {"workspace": new.workspace})
    # A file has at least one request; the exact number is known after its validation.
    demand = QuotaDemand(requests=max(1, new.total), batches=1, stored_bytes=new.input_size, creates=1)
    await reserve_quota(transaction, new.workspace, demand, new.created_at)
    await check_key_budget(transaction, new.workspace, new.caller, new.created_at)
    row = await transaction.fetch_one("insert_batch", new_batch_row(new))
    assert row is not None
    batch = batch_from_row(row)
    if new.input_blob is None:
        await notify(transaction, "validate", batch.key)
    await add_events(transaction, creation_events(batch))
    return batch, await _insert_shards(transaction, batch, new.shards, held=new.planned)


async def find_repeated(transaction: Transaction, new: NewBatch) -> Batch | None:
    """Return the batch of an earlier create that this one repeats; None if there is none."""
    query = "find_by_fingerprint" if new.idempotency_key is None else "find_by_idempotency_key"
    row = await transaction.fetch_one(query, duplicate_lookup_row(new))
    return None if row is None else batch_from_row(row)


def _create_lock(new: NewBatch) -> int:
    """Return the lock number of a create; two creates that may be the same have the same number."""
    text = new.fingerprint if new.idempotency_key is None else new.idempotency_key.encode()
    return int.from_bytes(blake2b(text, person=new.workspace.encode()[:16], digest_size=8).digest(), signed=True)


async def start_batch(
    transaction: Transaction, batch_key: int, validated: ValidatedInput, now: int
) -> Sequence[QueuedShard] | None:
    """Start a validated batch by storing its shards; None if it is no longer validating."""
    validating = await transaction.fetch_one("lock_validating", {"batch_key": batch_key})
    if validating is None:
        return None
    await adopt_blob(transaction, validated.input_blob)
    await transaction.execute("lock_workspace_order", {"workspace": validating["workspace"]})
    demand = QuotaDemand(requests=validated.total, stored_bytes=validated.input_size)
    await reserve_quota(transaction, validating["workspace"], demand, now)
    row = await transaction.fetch_one("start_batch", validated_input_row(batch_key, validated, now))
    assert row is not None
    batch = batch_from_row(row)
    await add_events(transaction, [start_event(batch, now)])
    return await _insert_shards(transaction, batch, validated.shards, held=row["awaits_plan"])


async def _insert_shards(
    transaction: Transaction, batch: Batch, shards: Sequence[Shard], *, held: bool
) -> Sequence[QueuedShard]:
    """Insert the shards of a batch, a job for each that is not held, and the providers that the batch is listed by."""
    await transaction.execute(
        "insert_providers",
        {"workspace": batch.workspace, "batch_key": batch.key, "providers": list(batch.providers)},
    )
    if shards:
        rows = [shard_row(batch.key, shard, held=held) for shard in shards]
        columns: Params = {name: [row[name] for row in rows] for name in rows[0]} | {"batch_key": batch.key}
        await transaction.execute("insert_shards", {**columns, "held": held})
        if not held:
            await transaction.execute("defer_jobs", columns)
    return [] if held or batch.pause else [shard_job(batch.key, shard.index) for shard in shards]


async def fail_batch(transaction: Transaction, params: Params) -> bool:
    """End a batch whose validation failed, and store the errors; False if it is no longer validating."""
    failed = await transaction.fetch_one("fail_batch", params)
    if failed is None:
        return False
    await transaction.execute("insert_faults", params)
    await add_events(transaction, [end_event(batch_from_row(failed))])
    return True


async def cancel_batch(transaction: Transaction, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Start to cancel a batch, and close its unclaimed shards."""
    params: dict[str, object] = {"workspace": workspace, "id": batch_id}
    row = await transaction.fetch_one("lock_batch", params)
    if row is None:
        return None
    params |= {"batch_key": row["key"], "now": now}
    if row["status"] == "validating":
        canceled = await transaction.fetch_one("cancel_validation", params)
        assert canceled is not None
        await add_events(transaction, [end_event(batch_from_row(canceled))])
    elif row["status"] == "in_progress":
        await transaction.execute("begin_cancel", params)
        await _close_unclaimed_shards(transaction, row["key"])
    await notify(transaction, "stop_sending", row["key"])
    row = await transaction.fetch_one("find_batch", params)
    return None if row is None else batch_from_row(row)


async def expire_batch(transaction: Transaction, batch_key: int, now: int) -> bool:
    """Close the unclaimed shards of an overdue batch, end its pause, and notify the workers to stop sending the others.

    Returns False if the batch is not overdue.
    """
    if not is_overdue(await transaction.fetch_one("lock_batch_by_key", {"batch_key": batch_key}), now):
        return False
    await transaction.execute("end_pause", {"batch_key": batch_key})
    await _close_unclaimed_shards(transaction, batch_key)
    await notify(transaction, "expire", batch_key)
    await notify(transaction, "stop_sending", batch_key)  # for processes of a version that does not know the other one
    return True


async def _close_unclaimed_shards(transaction: Transaction, batch_key: int) -> None:
    await transaction.execute("close_unclaimed_shards", {"batch_key": batch_key})
    row = await transaction.fetch_one("count_open_shards", {"batch_key": batch_key})
    if row is not None and row["open_shards"] == 0 and row["ended_at"] is None:
        await notify(transaction, "finalize", batch_key)


async def close_answered_shards(transaction: Transaction, batch_key: int) -> None:
    """Close the unclaimed shards of a paused batch if all of its requests have results: it ends without a resume."""
    if await transaction.fetch_one("is_answered_while_paused", {"batch_key": batch_key}) is not None:
        await _close_unclaimed_shards(transaction, batch_key)


async def delete_batch(transaction: Transaction, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Delete an ended batch and its result files; its blobs become orphans."""
    params: dict[str, object] = {"workspace": workspace, "id": batch_id}
    row = await transaction.fetch_one("lock_batch", params)
    if row is None:
        return None
    found = batch_from_row(row)
    if found.ended_at is not None:
        params |= {"batch_key": found.key, "now": now}
        for query in _DELETES:
            await transaction.execute(query, params)
        await _release_blobs(transaction, found)
    return found


async def archive_batch(transaction: Transaction, batch_key: int, now: int) -> None:
    """Archive a batch: its blobs become orphans."""
    row = await transaction.fetch_one("lock_batch_by_key", {"batch_key": batch_key})
    if row is not None and row["archived_at"] is None and row["deleted_at"] is None:
        await transaction.execute("archive_batch", {"batch_key": batch_key, "now": now})
        for query in ("drop_native_jobs", "drop_lanes", "drop_failures", "drop_series", "expire_outputs"):
            await transaction.execute(query, {"batch_key": batch_key, "now": now})
        await _release_blobs(transaction, batch_from_row(row))


async def _release_blobs(transaction: Transaction, batch: Batch) -> None:
    """Turn the blobs of a batch into orphans, and subtract their bytes from the workspace."""
    await add_orphan_blobs(transaction, batch.blobs)
    await add_stored_bytes(transaction, batch.workspace, -batch.stored_bytes)


async def add_orphan_blobs(transaction: Transaction, names: Sequence[str]) -> None:
    """Register blobs whose owner is gone as orphans that no process is writing."""
    await transaction.execute("add_orphan_blobs", {"names": list(names)})


async def adopt_blob(transaction: Transaction, name: str) -> None:
    """Make a blob its owner's; raises `LostBlob` if it was removed meanwhile."""
    if await transaction.fetch_one("adopt_blob", {"name": name}) is None:
        raise LostBlob(f"{name} was removed as an orphan, because its writer missed its heartbeats")


async def claim_shard(
    transaction: Transaction, job: QueuedShard
) -> Callable[[], Awaitable[tuple[Claim, bytes] | None]]:
    """Claim a shard with a new epoch; the returned function reads the claim and the sent marks after the commit."""
    params = {"batch_key": job.batch_key, "shard": job.shard, "key": job.batch_key}
    # The chunks are read by a later statement than the claim: then no earlier epoch can add to them. They are also read
    # after the native jobs: then they have all results of a job that has ended, and none of its requests is sent again.
    queries = ("claim_shard", "find_batch_by_key", "active_jobs_of_shard", "finished_seqs", "sent_marks")
    shards, batches, jobs, chunks, marks = [await transaction.execute(query, params) for query in queries]
    budgets = await transaction.execute("budgets_of_batch", params)

    async def read() -> tuple[Claim, bytes] | None:
        shard, batch, mark = await shards.fetchone(), await batches.fetchone(), await marks.fetchone()
        if shard is None or batch is None or not shard["claimed"] or batch["awaits_plan"]:
            return None  # also if the batch was moved after the statement that claims began: its plan must be seen
        finished = finished_seqs(await chunks.fetchall())
        claimed = Claim(
            batch=batch_from_row(batch),
            shard=shard_from_row(shard),
            epoch=shard["epoch"],
            finished=finished,
            withheld=withheld_seqs(await jobs.fetchall(), shard_from_row(shard)) - finished,
            **budgets_from_rows(await budgets.fetchall()),
        )
        return claimed, b"" if mark is None else mark["bits"]

    return read


async def append_chunk(transaction: Transaction, claim: Claim, chunk: ResultChunk, *, shard_done: bool) -> bool:
    """Write results if the claim's epoch is current; True if the batch can be finalized now.

    A chunk that is already stored comes from an earlier attempt whose response was lost; it is not counted again.
    """
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index, "epoch": claim.epoch, "done": shard_done}
    row = shard_key | _chunk_key(chunk)
    locking = await transaction.execute("lock_batch_by_key", shard_key)
    fenced = await transaction.fetch_one("fence_shard", shard_key)
    batch = await locking.fetchone()
    if batch is None or (fenced is None and not (shard_done and await transaction.fetch_one("is_chunk_stored", row))):
        raise stale_claim(claim)
    if fenced is None:
        return bool(batch["open_shards"] == 0)
    place = {"batch_key": claim.batch.key, "shard": claim.shard.index, "number": fenced["number"]}
    counts = batch_from_row(batch).counts
    await store_results(transaction, batch, place, chunk, counts)
    if chunk.ended_tasks:
        await transaction.execute("end_tasks", {"batch_key": claim.batch.key, "seqs": list(chunk.ended_tasks)})
    if chunk.outputs:
        await _insert_outputs(transaction, claim.batch.workspace, chunk.outputs)
    return shard_done and await _close_shard(transaction, batch, shard_key)


async def _insert_outputs(transaction: Transaction, workspace: str, outputs: Sequence[NewFile]) -> None:
    """Store the files that requests made, unless an earlier attempt whose response was lost has done so.

    They count in the quotas, but a quota does not refuse what is paid for.
    """
    await transaction.execute("lock_workspace_order", {"workspace": workspace})
    stored = [
        output
        for output in outputs
        if await transaction.fetch_one("insert_file", msgspec.structs.asdict(output)) is not None
    ]
    for output in stored:
        await adopt_blob(transaction, str(output.blob))
    if stored:
        size = sum(counted_size(output.size) for output in stored)
        await add_stored_bytes(transaction, workspace, size, files=len(stored))


async def store_results(
    transaction: Transaction, batch: Row, place: Params, chunk: ResultChunk, before: Counts
) -> None:
    """Insert a chunk, add it to what its batch counts, and pause the batch if it says so, unless it is stored already.

    ``batch`` is the batch as it was locked, and ``before`` are its counts without the chunk.
    """
    if not chunk.seqs:
        return
    spenders = spender_columns(charged_spenders(batch, chunk), chunk.at)
    counted = {**chunk_counts(chunk), **usage_row(batch, chunk), **series_row(batch, chunk), **spenders}
    row = {"lines": chunk.lines, **calls_row(batch, chunk), **_chunk_key(chunk), **counted}
    storing = await transaction.execute("store_chunk", {**place, **row})
    hit_failpoint("chunk_half_flushed")
    is_told, is_watched = may_tell(before, chunk), may_change_pause(batch, chunk)
    is_charged = batch["has_monthly_budgets"] and bool(chunk.spend.total)
    stored = await storing.fetchone() if chunk.failures or is_told or is_watched or is_charged else None
    if stored is None:
        return
    if chunk.failures:
        await add_failures(transaction, batch["key"], chunk.failures)
    if is_told:
        await add_events(transaction, result_events(batch_from_row(stored), chunk))
    reached = await reached_budgets(transaction, batch["key"], chunk.at) if is_charged else []
    if is_watched or reached:
        await pause_by_results(transaction, batch["key"], chunk, reached)


def _chunk_key(chunk: ResultChunk) -> dict[str, object]:
    return {"seqs": pack_seqs(chunk.seqs), "first_seq": chunk.seqs[0] if chunk.seqs else None}


async def _close_shard(transaction: Transaction, batch: Row, shard_key: Params) -> bool:
    """Count a shard as done; True if it was the last of its batch."""
    await transaction.execute("count_closed_shard", shard_key)
    await transaction.execute("drop_marks", shard_key)
    last = bool(batch["open_shards"] == 1)
    if last:
        await notify(transaction, "finalize", batch["key"])
    return last


async def end_batch(
    transaction: Transaction,
    params: Params,
    results_blob: str,
    unfinished: FailureGroup | None,
    files: Sequence[NewFile],
) -> bool:
    """End a batch with its results and store its result files; False if it has already ended."""
    ended = await transaction.fetch_one("end_batch", params)
    if ended is None:
        return False
    await add_unfinished(transaction, ended["key"], unfinished)
    await adopt_blob(transaction, results_blob)
    await transaction.execute("drop_shards", params)
    if files:
        await transaction.execute("lock_workspace_order", {"workspace": ended["workspace"]})
    for file in files:
        await transaction.execute("insert_file", msgspec.structs.asdict(file))
    await add_stored_bytes(transaction, ended["workspace"], cast("int", params["results_size"]))
    await add_events(transaction, [end_event(batch_from_row(ended))])
    return True
