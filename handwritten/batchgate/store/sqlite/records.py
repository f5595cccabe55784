"""Between SQLite's rows and the engine's values."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable
from typing import Final

import msgspec

from batchgate.engine.batch import Batch, Counts, NewBatch, Shard, Terms, Usage
from batchgate.engine.file import File

_TERMS: Final = msgspec.json.Decoder(Terms)
_PROVIDERS: Final = msgspec.json.Decoder(tuple[str, ...])


def pack(seqs: Iterable[int]) -> bytes:
    """Write seqs as a chunk's row holds them."""
    return array("I", seqs).tobytes()


def unpack(packed: bytes) -> tuple[int, ...]:
    """Read the seqs of a chunk's row."""
    return tuple(array("I", packed))


def new_batch_row(new: NewBatch) -> dict[str, object]:
    """Write a batch about to be stored."""
    return {
        "id": new.id,
        "workspace": new.workspace,
        "dialect": new.dialect,
        "terms": msgspec.json.encode(new.terms).decode(),
        "provider": new.provider,
        "providers": msgspec.json.encode(new.providers).decode(),
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
    }


def shard_row(batch_key: int, shard: Shard) -> dict[str, int]:
    """Write a shard of a batch."""
    return {
        "batch_key": batch_key,
        "shard": shard.index,
        "first_seq": shard.first_seq,
        "requests": shard.requests,
        "byte_offset": shard.offset,
        "byte_length": shard.length,
        "checksum": shard.checksum,
    }


def shard_of(row: sqlite3.Row) -> Shard:
    """Read a shard."""
    return Shard(
        index=row["shard"],
        first_seq=row["first_seq"],
        requests=row["requests"],
        offset=row["byte_offset"],
        length=row["byte_length"],
        checksum=row["checksum"],
    )


def batch_of(row: sqlite3.Row) -> Batch:
    """Read a batch."""
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
        terms=_TERMS.decode(row["terms"]),
        provider=row["provider"],
        providers=_PROVIDERS.decode(row["providers"]),
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
        output_size=row["output_size"],
        output_file=row["output_file"],
        error_file=row["error_file"],
    )


def file_of(row: sqlite3.Row) -> File:
    """Read a file."""
    return File(**{name: row[name] for name in File.__struct_fields__})
