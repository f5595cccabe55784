"""The transactions of the store, one function each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import Backlog, Batch, NewBatch, ValidatedInput
from batchgate.engine.model.batch_event import creation_events, end_event, result_events, start_event
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import LostBlob
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import NewFile, counted_size
from batchgate.engine.model.shard import ChunkSlice, QueuedShard, ResultChunk, Shard
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.store.budget_records import charged_spenders
from batchgate.store.native_records import finished_seqs, withheld_seqs
from batchgate.store.queries import load_queries
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
from batchgate.store.sqlite.budgets import budgets_of_claim, charge_budgets, check_key_budget, reached_budgets
from batchgate.store.sqlite.failures import add_failures, add_unfinished, drop_failures
from batchgate.store.sqlite.pauses import pause_by_results
from batchgate.store.sqlite.quotas import add_stored_bytes, reserve_quota
from batchgate.store.sqlite.series import add_to_series, drop_series
from batchgate.store.sqlite.usage import add_usage
from batchgate.store.sqlite.webhooks import add_events

QUERIES = load_queries("batchgate.store.sqlite", "queries.sql")
TASKS = load_queries("batchgate.store.sqlite", "tasks.sql")
DROP_CHUNKS_LIMIT = 64
"""Chunks that one transaction deletes at most, so that it does not delay others."""


class StoredResults(Struct, frozen=True, kw_only=True):
    """What has become of a batch with the results of a chunk."""

    finalizable: bool
    """Whether its last shard is done."""
    paused: bool
    """Whether these results have paused it."""


def recover(connection: sqlite3.Connection) -> None:
    """Release the claims of the previous process, and delete the chunks of batches that it had ended."""
    connection.execute(QUERIES["release_claims"])
    for row in connection.execute(QUERIES["ended_with_chunks"]).fetchall():
        while drop_chunks(connection, row["batch_key"]):
            continue


def create_batch(connection: sqlite3.Connection, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
    """Store a batch and its shards, or return the batch of an earlier create that this one repeats."""
    repeated = find_repeated(connection, new)
    if repeated is not None:
        return repeated, ()
    if new.input_blob is not None:
        adopt_blob(connection, new.input_blob)
    # A file has at least one request; the exact number is known after its validation.
    demand = QuotaDemand(requests=max(1, new.total), batches=1, stored_bytes=new.input_size, creates=1)
    reserve_quota(connection, new.workspace, demand, new.created_at)
    check_key_budget(connection, new.workspace, new.caller, new.created_at)
    batch = batch_from_row(connection.execute(QUERIES["insert_batch"], new_batch_row(new)).fetchone())
    add_events(connection, creation_events(batch))
    return batch, _insert_shards(connection, batch, new.shards, held=new.planned)


def start_batch(
    connection: sqlite3.Connection, batch_key: int, validated: ValidatedInput, now: int
) -> Sequence[QueuedShard] | None:
    """Start a validated batch by storing its shards; None if it is no longer validating."""
    validating = fetch_one(connection, "find_validating", {"batch_key": batch_key})
    if validating is None:
        return None
    demand = QuotaDemand(requests=validated.total, stored_bytes=validated.input_size)
    reserve_quota(connection, validating["workspace"], demand, now)
    adopt_blob(connection, validated.input_blob)
    row = connection.execute(QUERIES["start_batch"], validated_input_row(batch_key, validated, now)).fetchone()
    batch = batch_from_row(row)
    add_events(connection, [start_event(batch, now)])
    return _insert_shards(connection, batch, validated.shards, held=bool(row["awaits_plan"]))


def _insert_shards(
    connection: sqlite3.Connection, batch: Batch, shards: Sequence[Shard], *, held: bool
) -> Sequence[QueuedShard]:
    """Insert the shards of a batch, and the providers that it is listed by; return the jobs to enqueue."""
    connection.executemany(QUERIES["insert_provider"], _providers(batch))
    connection.executemany(QUERIES["insert_shard"], [shard_row(batch.key, shard, held=held) for shard in shards])
    return [] if held or batch.pause else [shard_job(batch.key, shard.index) for shard in shards]


def _providers(batch: Batch) -> list[dict[str, object]]:
    return [{"workspace": batch.workspace, "provider": name, "batch_key": batch.key} for name in batch.providers]


def fail_batch(connection: sqlite3.Connection, params: Mapping[str, object]) -> bool:
    """End a batch whose validation failed, and store the errors; False if it is no longer validating."""
    failed = fetch_one(connection, "fail_batch", params)
    if failed is None:
        return False
    connection.execute(QUERIES["insert_faults"], params)
    add_events(connection, [end_event(batch_from_row(failed))])
    return True


def find_repeated(connection: sqlite3.Connection, new: NewBatch) -> Batch | None:
    """Return the batch of an earlier create that this one repeats; None if there is none."""
    params, row = duplicate_lookup_row(new), None
    if new.idempotency_key is not None:
        row = fetch_one(connection, "find_by_idempotency_key", params)
    elif new.deduplicate_since is not None:
        row = fetch_one(connection, "find_by_fingerprint", params)
    return None if row is None else batch_from_row(row)


def find_batch(connection: sqlite3.Connection, workspace: str, batch_id: str) -> Batch | None:
    """Read a batch of a workspace; None if it does not exist or is deleted."""
    batches = fetch_batches(connection, "find_batch", {"workspace": workspace, "id": batch_id})
    return batches[0] if batches else None


def cancel_batch(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Start to cancel a batch, and close its unclaimed shards."""
    params = {"workspace": workspace, "id": batch_id, "now": now}
    canceled = fetch_one(connection, "cancel_validation", params)
    if canceled is not None:
        add_events(connection, [end_event(batch_from_row(canceled))])
    row = fetch_one(connection, "begin_cancel", params)
    if row is not None:
        close_unclaimed_shards(connection, row["key"])
    return find_batch(connection, workspace, batch_id)


def expire_batch(connection: sqlite3.Connection, batch_key: int, now: int) -> bool:
    """Close the unclaimed shards of an overdue batch, and end its pause; return False if it is not overdue."""
    if not is_overdue(fetch_one(connection, "find_batch_by_key", {"key": batch_key}), now):
        return False
    connection.execute(QUERIES["end_pause"], {"batch_key": batch_key})
    close_unclaimed_shards(connection, batch_key)
    return True


def close_unclaimed_shards(connection: sqlite3.Connection, batch_key: int) -> None:
    """Mark the unclaimed shards of a batch as done, but not those that the native lane needs."""
    connection.execute(QUERIES["close_unclaimed_shards"], {"batch_key": batch_key})
    connection.execute(QUERIES["count_open_shards"], {"batch_key": batch_key})


def close_answered_shards(connection: sqlite3.Connection, batch_key: int) -> None:
    """Close the unclaimed shards of a paused batch if all of its requests have results: it ends without a resume."""
    if fetch_one(connection, "is_answered_while_paused", {"batch_key": batch_key}) is not None:
        close_unclaimed_shards(connection, batch_key)


def delete_batch(connection: sqlite3.Connection, workspace: str, batch_id: str, now: int) -> Batch | None:
    """Delete an ended batch and its result files; its blobs become orphans."""
    found = find_batch(connection, workspace, batch_id)
    params = {"workspace": workspace, "id": batch_id, "now": now}
    if found is not None and connection.execute(QUERIES["delete_batch"], params).rowcount:
        connection.executemany(QUERIES["drop_providers"], _providers(found))
        connection.execute(QUERIES["delete_files_of_batch"], params)
        for query in ("drop_faults", "drop_native_jobs", "drop_lanes", "expire_outputs", "drop_timeline"):
            connection.execute(QUERIES[query], {"batch_key": found.key, "now": now})
        drop_failures(connection, found.key)
        drop_series(connection, found.key)
        _release_blobs(connection, found)
    return found


def archive_batch(connection: sqlite3.Connection, batch_key: int, now: int) -> None:
    """Archive a batch: its blobs become orphans."""
    row = fetch_one(connection, "find_batch_by_key", {"key": batch_key})
    archived = connection.execute(QUERIES["archive_batch"], {"batch_key": batch_key, "now": now})
    if row is not None and archived.rowcount:
        for query in ("drop_native_jobs", "drop_lanes", "expire_outputs"):
            connection.execute(QUERIES[query], {"batch_key": batch_key, "now": now})
        drop_failures(connection, batch_key)
        drop_series(connection, batch_key)
        _release_blobs(connection, batch_from_row(row))


def _release_blobs(connection: sqlite3.Connection, batch: Batch) -> None:
    """Turn the blobs of a batch into orphans, and subtract their bytes from the workspace."""
    add_orphan_blobs(connection, batch.blobs)
    add_stored_bytes(connection, batch.workspace, -batch.stored_bytes)


def add_orphan_blobs(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    """Register blobs that have no owner."""
    connection.executemany(QUERIES["add_orphan_blob"], [{"name": name} for name in names])


def adopt_blob(connection: sqlite3.Connection, name: str) -> None:
    """Make a blob its owner's; raises `LostBlob` if it was removed meanwhile."""
    if connection.execute(QUERIES["forget_orphan_blob"], {"name": name}).rowcount == 0:
        raise LostBlob(f"{name} was removed as an orphan, because another gateway has started on this database")


def claim_shard(connection: sqlite3.Connection, job: QueuedShard) -> Claim | None:
    """Claim a shard with a new epoch; None if it is done or held, or its batch is paused or awaits its plan."""
    params = {"batch_key": job.batch_key, "shard": job.shard}
    row = fetch_one(connection, "claim_shard", params)
    batch = fetch_one(connection, "find_batch_by_key", {"key": job.batch_key})
    if row is None or batch is None or not row["claimed"]:
        return None
    finished, withheld = fetch_finished(connection, params), fetch_withheld(connection, params, shard_from_row(row))
    return Claim(
        batch=batch_from_row(batch),
        shard=shard_from_row(row),
        epoch=row["epoch"],
        finished=finished,
        withheld=withheld - finished,
        **budgets_of_claim(connection, job.batch_key),
    )


def fetch_finished(connection: sqlite3.Connection, shard_key: Mapping[str, object]) -> frozenset[int]:
    """Read the seqs of a shard that have durable results."""
    return finished_seqs(connection.execute(QUERIES["finished_seqs"], shard_key))


def fetch_withheld(connection: sqlite3.Connection, shard_key: Mapping[str, object], shard: Shard) -> frozenset[int]:
    """Read the seqs of a shard that belong to active jobs of the native lane."""
    return withheld_seqs(connection.execute(QUERIES["active_jobs_of_shard"], shard_key), shard)


def append_chunk(
    connection: sqlite3.Connection, claim: Claim, chunk: ResultChunk, *, shard_done: bool
) -> StoredResults:
    """Write results if the claim's epoch is current."""
    shard_key = {"batch_key": claim.batch.key, "shard": claim.shard.index}
    fenced = connection.execute(QUERIES["fence_shard"], {**shard_key, "epoch": claim.epoch, "done": int(shard_done)})
    if fenced.rowcount == 0:
        raise stale_claim(claim)
    stored = insert_results(connection, shard_key, chunk, shards_done=int(shard_done))
    connection.executemany(TASKS["end_task"], [{"batch_key": claim.batch.key, "seq": seq} for seq in chunk.ended_tasks])
    for output in chunk.outputs:
        _insert_output(connection, output)
    return stored


def _insert_output(connection: sqlite3.Connection, output: NewFile) -> None:
    """Store a file that a request made; it counts in the quotas, but a quota does not refuse what is paid for."""
    adopt_blob(connection, str(output.blob))
    connection.execute(QUERIES["insert_file"], msgspec.structs.asdict(output)).fetchone()
    add_stored_bytes(connection, output.workspace, counted_size(output.size), files=1)


def insert_results(
    connection: sqlite3.Connection,
    shard_key: Mapping[str, int],
    chunk: ResultChunk,
    *,
    shards_done: int,
) -> StoredResults:
    """Insert a chunk, add it to the counts of its batch, and pause the batch if it says so."""
    counts = chunk_counts(chunk)
    if chunk.seqs:
        row = {"seqs": pack_seqs(chunk.seqs), "lines": chunk.lines}
        connection.execute(QUERIES["insert_chunk"], {**shard_key, **row, **counts})
        hit_failpoint("chunk_half_flushed")
    batch_key = shard_key["batch_key"]
    add_failures(connection, batch_key, chunk.failures)
    has_calls = chunk.calls is not None or bool(chunk.retried)
    calls = calls_row(fetch_one(connection, "calls_of_batch", shard_key) if has_calls else None, chunk)
    params = {"batch_key": batch_key, "shards_done": shards_done, **calls, **counts}
    batch = connection.execute(QUERIES["count_results"], params).fetchone()
    if chunk.seqs:
        add_usage(connection, batch, chunk)
        add_to_series(connection, batch, chunk)
        add_events(connection, result_events(batch_from_row(batch), chunk))
    has_budgets = charge_budgets(connection, charged_spenders(batch, chunk))
    reached = reached_budgets(connection, batch_key, chunk.at) if has_budgets else []
    paused = pause_by_results(connection, batch, chunk, reached)
    return StoredResults(finalizable=bool(shards_done and batch["open_shards"] == 0), paused=paused)


def end_batch(
    connection: sqlite3.Connection,
    params: Mapping[str, object],
    unfinished: FailureGroup | None,
    files: Sequence[NewFile],
) -> bool:
    """End a batch with its results and store its result files; False if it has already ended."""
    size = cast("int", params["results_size"])
    row = fetch_one(connection, "end_batch", params)
    if row is None:
        return False
    add_stored_bytes(connection, row["workspace"], size)
    add_unfinished(connection, row["key"], unfinished)
    adopt_blob(connection, str(params["results_blob"]))
    connection.execute(QUERIES["drop_shards"], params)
    for file in files:
        fetch_one(connection, "insert_file", msgspec.structs.asdict(file))
    add_events(connection, [end_event(batch_from_row(row))])
    return True


def drop_chunks(connection: sqlite3.Connection, batch_key: int) -> bool:
    """Delete some chunks of an ended batch; False if there were none."""
    params = {"batch_key": batch_key, "limit": DROP_CHUNKS_LIMIT}
    return connection.execute(QUERIES["drop_chunks"], params).rowcount > 0


def read_slices(
    connection: sqlite3.Connection, batch_key: int, shard: int, slices: Iterable[ChunkSlice]
) -> list[bytes]:
    """Read parts of the lines of chunks, except of those that were dropped."""
    params = [msgspec.structs.asdict(part) | {"batch_key": batch_key, "shard": shard} for part in slices]
    rows = [fetch_one(connection, "slice_of_chunk", each) for each in params]
    return [row["part"] for row in rows if row is not None]


def backlog(connection: sqlite3.Connection) -> Backlog:
    """Count the open batches and the shards that wait for a worker."""
    open_batches = connection.execute(QUERIES["open_batches"]).fetchall()
    jobs = connection.execute(QUERIES["active_native_jobs"]).fetchall()
    waiting = connection.execute(QUERIES["waiting_shards"]).fetchone()
    return Backlog(
        batches={(row["workspace"], row["status"]): row["number"] for row in open_batches},
        native_jobs={(row["account"], row["state"]): row["number"] for row in jobs},
        waiting_shards=waiting["number"],
        waiting_since=waiting["since"],
    )


def fetch_batches(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> list[Batch]:
    """Run a statement and return the batches in its rows."""
    return [batch_from_row(row) for row in fetch_dicts(connection, query, params)]


def fetch_dicts(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    """Run a statement and yield its rows as dicts: `sqlite3.Row` compares each name with those of all columns."""
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(QUERIES[query], params)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor.fetchall())


def fetch_one(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> sqlite3.Row | None:
    """Run a statement and return its first row."""
    row: sqlite3.Row | None = connection.execute(QUERIES[query], params).fetchone()
    return row
