"""Conversions between database rows and the engine's values, the same for every database."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from batchgate.engine.model.batch import Batch, BatchOptions, NewBatch, ValidatedInput
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.secret import Secret
from batchgate.engine.model.shard import ChunkEntry, ChunkSlice, QueuedShard, ResultChunk, Shard
from batchgate.engine.model.stored_blob import BlobKind, BlobOwner, ScrubState, StoredBlob
from batchgate.engine.model.usage import Counts, Usage

_OPTIONS: Final = msgspec.json.Decoder(BatchOptions)
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
        "model": new.model,
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
    }


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
        "model": validated.model,
        "input_blob": validated.input_blob,
        "input_size": validated.input_size,
    }


def chunk_counts(chunk: ResultChunk) -> dict[str, int]:
    """Return what a chunk adds to the counts of its batch."""
    counts = {"succeeded": chunk.succeeded, "errored": chunk.errored, "repeated": chunk.repeated, "cost": chunk.cost}
    return counts | msgspec.structs.asdict(chunk.usage)


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


def batch_from_row(row: Row) -> Batch:
    """Return the batch in a row."""
    counts = Counts(
        total=row["total"],
        succeeded=row["succeeded"],
        errored=row["errored"],
        canceled=row["canceled"],
        expired=row["expired"],
    )
    usage = Usage(
        input_tokens=row["input_tokens"],
        cached_tokens=row["cached_tokens"],
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
        headers=msgspec.json.decode(row["headers"]),
        status=row["status"],
        counts=counts,
        repeated=row["repeated"],
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
        cost=row["cost"],
        results_blob=row["results_blob"],
        results_size=row["results_size"],
        results_sha256=row["results_sha256"],
        output_size=row["output_size"],
        output_file=row["output_file"],
        error_file=row["error_file"],
    )


def file_from_row(row: Row) -> File:
    """Return the file in a row."""
    return File(**{name: row[name] for name in File.__struct_fields__})


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
