"""Encodes answers as JSON, a long list in pieces."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

ITEMS_AT_ONCE: Final = 2_000
"""Items of a list that are encoded without a pause; they take about a millisecond."""


async def encode_answer(answer: msgspec.Struct) -> bytes:
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
