"""Ids as the documented APIs write them: a prefix, ``01`` but for files, and 22 characters of base 58."""

from __future__ import annotations

import secrets

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 22
_RANGE = len(ALPHABET) ** LENGTH


def new_id(prefix: str) -> str:
    """Draw an id that nobody can guess, such as ``msgbatch_01Hkc...`` or ``req_011...``."""
    return f"{prefix}_01{_random()}"


def new_file_id() -> str:
    """Draw the id of a file, such as ``file-8QfBrs...``."""
    return f"file-{_random()}"


def _random() -> str:
    number = secrets.randbelow(_RANGE)
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)
