"""Ids as the documented APIs write them: a prefix, ``01``, and 22 characters of base 58."""

from __future__ import annotations

import secrets

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 22
_RANGE = len(ALPHABET) ** LENGTH


def new_id(prefix: str) -> str:
    """Draw an id that nobody can guess, such as ``msgbatch_01Hkc...`` or ``req_011...``."""
    number = secrets.randbelow(_RANGE)
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return f"{prefix}_01{''.join(digits)}"
