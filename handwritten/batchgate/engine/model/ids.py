"""Random ids in the format of the documented APIs: a prefix, ``01`` (except for files), and 22 base-58 characters."""

from __future__ import annotations

import secrets

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 22
_RANGE = len(ALPHABET) ** LENGTH


def new_id(prefix: str) -> str:
    """Generate an unguessable id, such as ``msgbatch_01Hkc...`` or ``req_011...``."""
    return f"{prefix}_01{_random_characters()}"


def new_file_id() -> str:
    """Generate the id of a file, such as ``file-8QfBrs...``."""
    return f"file-{_random_characters()}"


def _random_characters() -> str:
    number = secrets.randbelow(_RANGE)
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)
