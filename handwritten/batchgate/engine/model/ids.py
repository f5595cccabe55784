"""Random ids in the format of the documented APIs: a prefix, ``01`` (except for files), and 22 base-58 characters."""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

ALPHABET: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH: Final = 22
RANDOM_BYTES: Final = 4096
"""Bytes of randomness that are fetched at once, for about 168 ids."""
_TABLE: Final = bytes(ALPHABET[byte % len(ALPHABET)] for byte in range(256))
_REJECTED: Final = bytes(range(256 - 256 % len(ALPHABET), 256))
"""Bytes that have no character, because they would make some characters likelier than others."""
_PREPARED: Final[deque[str]] = deque()


def new_id(prefix: str) -> str:
    """Generate an unguessable id, such as ``msgbatch_01Hkc...`` or ``req_011...``."""
    return f"{prefix}_01{_random_characters()}"


def new_file_id() -> str:
    """Generate the id of a file, such as ``file-8QfBrs...``."""
    return f"file-{_random_characters()}"


def _random_characters() -> str:
    """Return `LENGTH` characters that no other call returns."""
    while True:
        try:
            return _PREPARED.popleft()  # atomic: threads make ids too
        except IndexError:
            _PREPARED.extend(_prepare())


def _prepare() -> list[str]:
    """Return the characters of many ids; one by one, each would wait for a system call.

    Converting bytes takes a tenth of the time of dividing a large number.
    """
    characters = secrets.token_bytes(RANDOM_BYTES).translate(_TABLE, _REJECTED).decode()
    return [characters[start : start + LENGTH] for start in range(0, len(characters) - LENGTH + 1, LENGTH)]
