"""Merges the chunks of a shard."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.shard import ResultChunk


def merge_chunks(chunks: Sequence[ResultChunk]) -> dict[int, bytes]:
    """Return the result lines of a shard's chunks by their seqs."""
    return {
        seq: line
        for chunk in chunks
        for seq, line in zip(chunk.seqs, chunk.lines.splitlines(keepends=True), strict=True)
    }
