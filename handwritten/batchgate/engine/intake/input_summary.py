"""Summarizes the input of a batch: a digest of all lines, the model that they share, and the prefixes of the models."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

MAX_PREFIXES: Final = 1_000
"""The maximum number of model prefixes that are collected; a gateway has fewer accounts."""

_MODEL_KEY: Final = b'"model"'
_MODEL: Final = re.compile(rb'"model"[ \t]*:[ \t]*("(?:[^"\\]|\\.)*+")')


def new_input_hash() -> hashlib.blake2b:
    """Return the hash by which a stored input is verified when it is read again."""
    return hashlib.blake2b(digest_size=16)


class InputSummary:
    """Computes a digest, by which a repeated input is recognized, and collects the models and their prefixes.

    It searches lines for models instead of parsing them, which would cost more than the rest of the intake. So it also
    finds keys named ``model`` in nested objects; if such a model is another one, the lines count as lines of several.
    """

    def __init__(self) -> None:
        self._hash = new_input_hash()
        self.model_prefixes: set[str] = set()
        """The parts of models before a slash: names of accounts, or parts of the models' own names."""
        self._last_written = b""
        self._model: str | None = None
        self._models_differ = False

    def update(self, lines: bytes) -> None:
        """Add the next lines."""
        self._hash.update(lines)
        place = lines.find(_MODEL_KEY)
        while place >= 0 and len(self.model_prefixes) < MAX_PREFIXES:
            if (match := _MODEL.match(lines, place)) and match[1] != self._last_written:
                self._last_written = match[1]
                self._add(msgspec.json.decode(match[1], type=str))
            place = lines.find(_MODEL_KEY, place + len(_MODEL_KEY))

    def common_model(self, default: str | None) -> str | None:
        """Return the model of all lines; None if they differ. ``default`` is the model of lines that name none."""
        if self._models_differ or (default is not None and self._model not in (None, default)):
            return None
        return self._model or default

    def _add(self, model: str) -> None:
        self._models_differ = self._models_differ or self._model not in (None, model)
        self._model = model
        prefix, slash, _ = model.partition("/")
        if prefix and slash:
            self.model_prefixes.add(prefix)

    def digest(self) -> bytes:
        """Return the digest of all lines so far."""
        return self._hash.digest()
