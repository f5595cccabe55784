"""The numbers of embeddings in base64: floats of four bytes, the lowest byte first."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence


def numbers_in_base64(numbers: Sequence[float]) -> str:
    """Return numbers in base64."""
    return b64encode(_little_endian(array("f", numbers)).tobytes()).decode()


def numbers_of_base64(text: str) -> list[float]:
    """Return the numbers of a text in base64."""
    return [*_little_endian(array("f", b64decode(text)))]


def _little_endian(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
