"""Carries Gemini's thought signatures through Messages: as redacted_thinking blocks, which callers return unread.

A block stands before the tool_use block to whose call its signature belongs.
"""

from __future__ import annotations

from typing import Final

_PREFIX: Final = "gemini-thought-signature:"


def to_block_data(signature: str) -> str:
    """Return the data of the block for a signature."""
    return _PREFIX + signature


def signature_of(data: str) -> str | None:
    """Return the signature in the data of a block; None for a block that Anthropic made."""
    return data.removeprefix(_PREFIX) if data.startswith(_PREFIX) else None
