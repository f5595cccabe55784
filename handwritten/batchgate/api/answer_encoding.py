"""Encodes answers as JSON: a long list in pieces, and an answer that was given before only once."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from batchgate.api.built_objects import BuiltObjects

ITEMS_AT_ONCE: Final = 2_000
"""Items of a list that are encoded without a pause; they take about a millisecond."""
MAX_KEPT: Final = 256
"""Encoded answers that are kept."""
MAX_SIZE: Final = 32 * 1024
"""Bytes of an encoded answer that is kept; a page of 20 batches has about 18,000."""


class AnswerEncoder:
    """Encodes answers, and keeps the last ones: a view returns the very same object while its batch is unchanged."""

    def __init__(self) -> None:
        self._kept: BuiltObjects[msgspec.Struct, bytes] = BuiltObjects(MAX_KEPT)

    async def encode(self, answer: msgspec.Struct) -> bytes:
        """Return an answer as JSON."""
        kept = self._kept.find(answer)
        if kept is not None:
            return kept
        encoded = await _encode(answer)
        if len(encoded) <= MAX_SIZE:
            self._kept.keep(answer, "", encoded)
        return encoded


async def _encode(answer: msgspec.Struct) -> bytes:
    """Encode an answer; while a long list is encoded, the event loop does other work in between."""
    items = getattr(answer, "data", None)
    if not isinstance(items, list) or len(items) <= ITEMS_AT_ONCE:
        return msgspec.json.encode(answer)
    pieces = []
    for start in range(0, len(items), ITEMS_AT_ONCE):
        pieces.append(msgspec.json.encode(items[start : start + ITEMS_AT_ONCE])[1:-1])
        await asyncio.sleep(0)
    encoded = msgspec.Raw(b"[%s]" % b",".join(pieces))
    return msgspec.json.encode(msgspec.structs.replace(answer, data=encoded))
