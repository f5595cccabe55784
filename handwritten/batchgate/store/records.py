"""Conversions between database rows and the engine's values, the same for every database."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET

from batchgate.engine.model.batch import Batch, BatchOptions, BatchPause, NewBatch, ValidatedInput
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.concurrency_cap import ConcurrencyCap, ConcurrencyCaps
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.fail_fast import FailFast
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.pace import Pace, pace_after
from batchgate.engine.model.price import Spend
from batchgate.engine.model.priority import Contender, Contenders
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.model.retried_calls import RetriedCalls, add_retried
from batchgate.engine.model.secret import Secret
from batchgate.engine.model.shard import ChunkEntry, ChunkSlice, QueuedShard, ResultChunk, Shard
from batchgate.engine.model.steering import TIMELINE_ENTRIES, TimelineEntry
from batchgate.engine.model.stored_blob import BlobKind, BlobOwner, ScrubState, StoredBlob
from batchgate.engine.model.usage import Counts, Usage

_OPTIONS: Final = msgspec.json.Decoder(BatchOptions)
_FAIL_FAST: Final = msgspec.json.Decoder(FailFast)
_PAUSE: Final = msgspec.json.Decoder(BatchPause)
_PACE: Final = msgspec.json.Decoder(Pace)
_RETRIED: Final = msgspec.json.Decoder(tuple[RetriedCalls, ...])
_PROVIDERS: Final = msgspec.json.Decoder(tuple[str, ...])
_SCRUB_STATE: Final = msgspec.json.Decoder(ScrubState)


class Row(Protocol):
    """A database row: values by column name."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""
        ...


def pack_seqs(seqs: Iterable[int]) -> bytes:
    """Encode the row indexes of a chunk for its database row."""
    return array("I", seqs).tobytes()


def unpack_seqs(packed: bytes) -> tuple[int, ...]:
    """Decode the row indexes of a chunk."""
    return tuple(array("I", packed))


def new_batch_row(new: NewBatch) -> dict[str, object]:
    """Return the parameters that insert a batch."""
    return {
        "id": new.id,
        "workspace": new.workspace,
        "dialect": new.dialect,
        "terms": msgspec.json.encode(new.options).decode(),
        "provider": new.provider,
        "providers": msgspec.json.encode(new.providers).decode(),
        "model": _listed_model(new.model),
        "headers": msgspec.json.encode(new.headers).decode(),
        "total": new.total,
        "open_shards": len(new.shards),
        "created_at": new.created_at,
        "expires_at": new.expires_at,
        "caller": new.caller,
        "fingerprint": new.fingerprint,
        "idempotency_key": new.idempotency_key,
        "input_blob": new.input_blob,
        "input_size": new.input_size,
        "awaits_plan": new.planned,
        "name": new.options.batch_name,
        "parent": new.parent,
        "input_hash": new.input_hash,
        "budget": new.options.first_budget,
        "fail_fast": fail_fast_text(FailFast(limit=new.fail_fast)) if new.fail_fast else None,
        "priority": "normal" if new.options.priority is UNSET else new.options.priority,
        "concurrency": new.options.first_concurrency,
    }


def _listed_model(model: str | None) -> str | None:
    """Return the model by which lists find a batch; None for one with a NUL, which PostgreSQL cannot store as text."""
    return None if model is None or "\0" in model else model


def duplicate_lookup_row(new: NewBatch) -> dict[str, object]:
    """Return the parameters that find an earlier create of the same batch."""
    names = ("workspace", "caller", "fingerprint", "deduplicate_since", "idempotency_key")
    return {name: getattr(new, name) for name in names}


def validated_input_row(batch_key: int, validated: ValidatedInput, now: int) -> dict[str, object]:
    """Return the parameters that start a batch after its file was validated."""
    return {
        "batch_key": batch_key,
        "now": now,
        "total": validated.total,
        "open_shards": len(validated.shards),
        "providers": msgspec.json.encode(validated.providers).decode(),
        "model": _listed_model(validated.model),
        "input_blob": validated.input_blob,
        "input_size": validated.input_size,
        "input_hash": validated.input_hash,
    }


def chunk_counts(chunk: ResultChunk) -> dict[str, int]:
    """Return what a chunk adds to the counts of its batch."""
    counts = {
        "succeeded": chunk.succeeded,
        "errored": chunk.errored,
        "repeated": chunk.repeated,
        "reused": chunk.reused,
    }
    return counts | spend_row(chunk.spend) | msgspec.structs.asdict(chunk.usage)


def calls_row(batch: Row | None, chunk: ResultChunk) -> dict[str, str | None]:
    """Return the parameters that add the direct calls of a chunk to a batch; None for what they do not change."""
    if batch is None:
        return {"pace": None, "retried_calls": None}
    return {"pace": _pace_after_chunk(batch, chunk), "retried_calls": _retried_after_chunk(batch, chunk)}


def _pace_after_chunk(batch: Row, chunk: ResultChunk) -> str | None:
    """Return the pace of a batch after a chunk; None if the chunk does not change it, since a paused batch has none."""
    finished = chunk.succeeded + chunk.errored
    if chunk.calls is None or not finished or batch["pause"] is not None:
        return None
    before = None if batch["pace"] is None else _PACE.decode(batch["pace"])
    return msgspec.json.encode(pace_after(before, finished, chunk.calls)).decode()


def _retried_after_chunk(batch: Row, chunk: ResultChunk) -> str | None:
    if not chunk.retried:
        return None
    return msgspec.json.encode(add_retried(_retried_from_row(batch), chunk.retried)).decode()


def spend_row(spend: Spend) -> dict[str, int]:
    """Return the parameters that add to what a batch has cost."""
    return {
        "cost": spend.total,
        "native_cost": spend.native,
        "saved": spend.saved,
        "unpriced": spend.unpriced,
    }


def ended_batch_row(batch_key: int, counts: Counts, files: Iterable[NewFile]) -> dict[str, object]:
    """Return the parameters that end a batch: its counts and the files that show its results."""
    file_ids: dict[str, object] = {f"{file.part}_file": file.id for file in files}
    return {"batch_key": batch_key, "output_file": None, "error_file": None} | msgspec.structs.asdict(counts) | file_ids


def shard_job(batch_key: int, shard: int) -> QueuedShard:
    """Return the job of a shard; its priority puts the first shards of all batches before the second shards of any."""
    return QueuedShard(priority=shard, batch_key=batch_key, shard=shard)


def shard_row(batch_key: int, shard: Shard, *, held: bool) -> dict[str, int]:
    """Return the parameters that insert a shard."""
    return {
        "batch_key": batch_key,
        "shard": shard.index,
        "first_seq": shard.first_seq,
        "requests": shard.requests,
        "byte_offset": shard.offset,
        "byte_length": shard.length,
        "checksum": shard.checksum,
        "held": held,
    }


def shard_from_row(row: Row) -> Shard:
    """Return the shard in a row."""
    return Shard(
        index=row["shard"],
        first_seq=row["first_seq"],
        requests=row["requests"],
        offset=row["byte_offset"],
        length=row["byte_length"],
        checksum=row["checksum"],
    )


def is_overdue(row: Row | None, now: int) -> bool:
    """Return whether a batch is to expire, as `overdue_batches` says."""
    if row is None or row["ended_at"] is not None or row["status"] == "validating":
        return False
    return bool(row["expires_at"] <= now)


def batch_from_row(row: Row) -> Batch:
    """Return the batch in a row."""
    counts = Counts(**{name: row[name] for name in Counts.__struct_fields__})
    usage = Usage(
        input_tokens=row["input_tokens"],
        cached_tokens=row["cached_tokens"],
        cache_write_tokens=row["cache_write_tokens"],
        long_cache_write_tokens=row["long_cache_write_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
    )
    return Batch(
        key=row["key"],
        id=row["id"],
        workspace=row["workspace"],
        dialect=row["dialect"],
        options=_OPTIONS.decode(row["terms"]),
        provider=row["provider"],
        providers=_PROVIDERS.decode(row["providers"]),
        model=row["model"],
        parent=row["parent"],
        headers=msgspec.json.decode(row["headers"]),
        status=row["status"],
        counts=counts,
        repeated=row["repeated"],
        reused=row["reused"],
        usage=usage,
        first_faults=row["first_faults"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        in_progress_at=row["in_progress_at"],
        cancel_initiated_at=row["cancel_initiated_at"],
        ended_at=row["ended_at"],
        archived_at=row["archived_at"],
        fingerprint=row["fingerprint"],
        input_blob=row["input_blob"],
        input_size=row["input_size"],
        input_hash=row["input_hash"],
        spend=_spend_from_row(row),
        paid_twice=row["paid_twice"],
        results_blob=row["results_blob"],
        results_size=row["results_size"],
        results_sha256=row["results_sha256"],
        output_size=row["output_size"],
        output_file=row["output_file"],
        error_file=row["error_file"],
        budget=row["budget"],
        pause=None if row["pause"] is None else _PAUSE.decode(row["pause"]),
        pace=None if row["pace"] is None else _PACE.decode(row["pace"]),
        priority=row["priority"],
        priority_scope=row["priority_scope"],
        cap=_cap_from_row(row),
        awaits_plan=bool(row["awaits_plan"]),
        lane_changes=row["lane_changes"],
        retried_calls=_retried_from_row(row),
    )


def _retried_from_row(row: Row) -> tuple[RetriedCalls, ...]:
    return () if row["retried_calls"] is None else _RETRIED.decode(row["retried_calls"])


def _cap_from_row(row: Row) -> ConcurrencyCap:
    return ConcurrencyCap(row["concurrency"], row["concurrency_changes"])


def caps_from_rows(rows: Iterable[Row]) -> ConcurrencyCaps:
    """Return the concurrency caps of the batches of some rows."""
    return {row["key"]: _cap_from_row(row) for row in rows}


def fail_fast_text(state: FailFast) -> str:
    """Return the first results of a batch as its row has them."""
    return msgspec.json.encode(state).decode()


def fail_fast_from_row(row: Row) -> FailFast | None:
    """Return the first results in the row of a batch; None if they cannot pause it."""
    return None if row["fail_fast"] is None else _FAIL_FAST.decode(row["fail_fast"])


def _spend_from_row(row: Row) -> Spend:
    return Spend(
        direct=row["cost"] - row["native_cost"],
        native=row["native_cost"],
        saved=row["saved"],
        unpriced=row["unpriced"],
    )


def steering_row(batch: Batch) -> dict[str, object]:
    """Return the parameters that store what an action has changed of a batch."""
    pause = None if batch.pause is None else msgspec.json.encode(batch.pause).decode()
    return {
        "batch_key": batch.key,
        "terms": msgspec.json.encode(batch.options).decode(),
        "pause": pause,
        "expires_at": batch.expires_at,
        "budget": batch.budget,
        "priority": batch.priority,
        "priority_scope": batch.priority_scope,
        "concurrency": batch.cap.limit,
        "concurrency_changes": batch.cap.changes,
        "awaits_plan": batch.awaits_plan,
        "lane_changes": batch.lane_changes,
    }


def contenders_from_rows(rows: Iterable[Row]) -> Contenders:
    """Return the batches of some rows that share the calls of their workspace."""
    return {row["key"]: _contender_from_row(row) for row in rows}


def _contender_from_row(row: Row) -> Contender:
    return Contender(workspace=row["workspace"], priority=row["priority"], scope=row["priority_scope"])


def timeline_row(batch: Batch, entry: TimelineEntry) -> dict[str, object]:
    """Return the parameters that add an entry to the timeline of a batch, and drop the oldest ones."""
    return {"batch_key": batch.key, "kept": TIMELINE_ENTRIES} | msgspec.structs.asdict(entry)


def timeline_entry_from_row(row: Row) -> TimelineEntry:
    """Return the entry of a timeline in a row."""
    return TimelineEntry(at=row["at"], action=row["action"], by=row["by"], detail=row["detail"])


def file_from_row(row: Row) -> File:
    """Return the file in a row."""
    return File(**{name: row[name] for name in File.__struct_fields__})


def task_row(claim: Claim, task: ProviderTask) -> dict[str, object]:
    """Return the parameters that store a task under a claim."""
    return msgspec.structs.asdict(task) | {"shard": claim.shard.index, "epoch": claim.epoch}


def tasks_of_shard_row(claim: Claim) -> dict[str, object]:
    """Return the parameters that find the tasks of a shard."""
    seqs = claim.shard.seqs
    return {"batch_key": claim.batch.key, "first_seq": seqs.start, "last_seq": seqs.stop - 1}


def task_from_row(row: Row) -> ProviderTask:
    """Return the task in a row."""
    return ProviderTask(**{name: row[name] for name in ProviderTask.__struct_fields__})


def stale_claim(claim: Claim) -> StaleClaim:
    """Return the error for a write under a claim that is no longer valid."""
    return StaleClaim(f"shard {claim.shard.index} of {claim.batch.id} is no longer held at epoch {claim.epoch}")


def secret_from_row(row: Row) -> Secret:
    """Return the secret in a row."""
    return Secret(**{name: row[name] for name in Secret.__struct_fields__})


def stored_blob_from_row(kind: BlobKind, row: Row | None) -> StoredBlob | None:
    """Return the blob in a row."""
    if row is None:
        return None
    owner = BlobOwner(kind, row["key"])
    return StoredBlob(owner=owner, **{name: row[name] for name in ("id", "workspace", "name", "size", "sha256")})


def scrub_state_from_row(row: Row | None) -> ScrubState | None:
    """Return the state of the scrub in a row."""
    return None if row is None else _SCRUB_STATE.decode(row["state"])


def scrub_state_row(state: ScrubState) -> dict[str, object]:
    """Return the parameters that store the state of the scrub."""
    return {"state": msgspec.json.encode(state).decode()}


def chunk_entry_from_row(row: Row) -> ChunkEntry:
    """Return the chunk in a row, without its lines."""
    return ChunkEntry(id=row["id"], seqs=unpack_seqs(row["seqs"]), size=row["size"])


def slices_row(batch_key: int, shard: int, slices: Iterable[ChunkSlice]) -> dict[str, object]:
    """Return the parameters that read parts of the chunks of a shard."""
    parts = list(slices)
    return {
        "batch_key": batch_key,
        "shard": shard,
        "chunks": [part.chunk for part in parts],
        "starts": [part.start for part in parts],
        "lengths": [part.length for part in parts],
    }
