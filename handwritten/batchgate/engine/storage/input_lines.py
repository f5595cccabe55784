"""Reads the input lines of a shard and verifies them."""

from __future__ import annotations

import zlib

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.ports.blobs import Blobs


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
    return list(enumerate(data.splitlines(keepends=True), shard.first_seq))
