"""Secrets: provider keys that the database keeps encrypted."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""The pattern of secret names."""
MAX_VALUE_LENGTH: Final = 8192
"""Characters."""


class Ciphertext(Struct, frozen=True, kw_only=True):
    """A value that is stored encrypted, under the name that it was encrypted with."""

    name: str
    ciphertext: bytes


class Secret(Struct, frozen=True, kw_only=True):
    """A stored secret; times are microseconds since the epoch."""

    name: str
    ciphertext: bytes
    created_at: int
    updated_at: int
    """When its value was last replaced."""
