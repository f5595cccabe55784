"""Reads the input lines of shards and verifies them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from io import BytesIO

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.support.prefetch import prefetch


async def read_input_lines(blobs: Blobs, claim: Claim) -> list[tuple[int, bytes]]:
    """Read the lines of a shard with their seqs; raises `BlobError`, also if the checksum does not match.

    A damaged disk may return other bytes than were written. A changed prompt must not be sent and paid for, and without
    its custom_id a line cannot get a result.
    """
    shard, name = claim.shard, claim.batch.input_blob
    assert name is not None  # a batch with shards has an input
    data = await blobs.read_range(name, shard.offset, shard.length)
    if zlib.crc32(data) != shard.checksum:
        raise DamagedBlob(f"{name}: damaged between bytes {shard.offset} and {shard.offset + shard.length}")
    return list(enumerate(BytesIO(data), shard.first_seq))


async def read_shards(blobs: Blobs, claims: Iterable[Claim]) -> AsyncGenerator[list[tuple[int, bytes]], None]:
    """Yield what `read_input_lines` reads of each shard; the next one is read while the caller uses one."""
    async with aclosing(prefetch((read_input_lines(blobs, claim) for claim in claims), ahead=1)) as shards:
        async for lines in shards:
            yield lines
