"""Random ids in the format of the documented APIs: a prefix, ``01`` (except for files), and 22 base-58 characters."""

from __future__ import annotations

import secrets
from typing import Final

ALPHABET: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH: Final = 22
_TABLE: Final = bytes(ALPHABET[byte % len(ALPHABET)] for byte in range(256))
_REJECTED: Final = bytes(range(256 - 256 % len(ALPHABET), 256))
"""Bytes that have no character, because they would make some characters likelier than others."""


def new_id(prefix: str) -> str:
    """Generate an unguessable id, such as ``msgbatch_01Hkc...`` or ``req_011...``."""
    return f"{prefix}_01{_random_characters()}"


def new_file_id() -> str:
    """Generate the id of a file, such as ``file-8QfBrs...``."""
    return f"file-{_random_characters()}"


def _random_characters() -> str:
    """Return `LENGTH` characters; converting bytes takes a tenth of the time of dividing a large number."""
    found = b""
    while len(found) < LENGTH:  # a second round is needed once in 10**12 times
        found += secrets.token_bytes(2 * LENGTH).translate(_TABLE, _REJECTED)
    return found[:LENGTH].decode()
