"""Summarizes the input of a batch: a digest of all lines, and the prefixes of the models."""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_PREFIXES: Final = 1_000
"""The maximum number of model prefixes that are collected; a gateway has fewer accounts."""

_MODEL_KEY: Final = b'"model"'
_PREFIX: Final = re.compile(rb'"model"[ \t]*:[ \t]*"([^"\\/]+)\\?/')


class InputSummary:
    """Computes a digest, by which a repeated input is recognized, and collects the model prefixes.

    It searches lines for models instead of parsing them, which would cost more than the rest of the intake. So it also
    finds keys named ``model`` in nested objects.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.model_prefixes: set[str] = set()
        """The parts of models before a slash: names of accounts, or parts of the models' own names."""

    def update(self, lines: bytes) -> None:
        """Add the next lines."""
        self._hash.update(lines)
        place = lines.find(_MODEL_KEY)
        while place >= 0 and len(self.model_prefixes) < MAX_PREFIXES:
            if match := _PREFIX.match(lines, place):
                self.model_prefixes.add(match[1].decode(errors="replace"))
            place = lines.find(_MODEL_KEY, place + len(_MODEL_KEY))

    def digest(self) -> bytes:
        """Return the digest of all lines so far."""
        return self._hash.digest()
