"""Reads the input lines of a shard, as intake wrote them or not at all."""

from __future__ import annotations

import zlib

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import Blobs


async def read_input_lines(blobs: Blobs, claim: Claim) -> list[tuple[int, bytes]]:
    """Read the lines of a shard with their seqs; raises `BlobError`, also when they are not what intake wrote.

    A disk may give other bytes than it was given: a prompt that was changed must not be paid for, and a line that
    cannot be told to whom it belongs has no result.
    """
    shard, name = claim.shard, claim.batch.input_blob
    assert name is not None  # it has shards
    data = await blobs.read_range(name, shard.offset, shard.length)
    if zlib.crc32(data) != shard.checksum:
        raise BlobError(f"{name}: damaged between bytes {shard.offset} and {shard.offset + shard.length}")
    return list(enumerate(data.splitlines(keepends=True), shard.first_seq))
