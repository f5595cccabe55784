"""A key that is kept encrypted in the database."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a secret may be called."""
MAX_VALUE_LENGTH: Final = 8192
"""Characters."""


class Secret(Struct, frozen=True, kw_only=True):
    """A secret as it is stored."""

    name: str
    ciphertext: bytes
    created_at: int
    updated_at: int
    """When its value was replaced the last time."""
