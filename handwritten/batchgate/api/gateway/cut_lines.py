"""Cuts long texts in lines of a batch, which may be documents or images, so that a page of them stays small."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

TEXT_PER_NUMBER: Final = 16
"""Characters of a text for each number of a list, such as an embedding, that is kept."""


class CutLine(Struct, frozen=True):
    """A line, and whether something was cut out of it."""

    json: msgspec.Raw
    is_cut: bool


def cut_line(line: bytes, max_text: int) -> CutLine:
    """Return a line, which is JSON, with its texts cut to a length and its lists of numbers to a sixteenth of it."""
    line = line.strip()
    if len(line) <= max_text:
        return CutLine(msgspec.Raw(line), is_cut=False)
    decoded = msgspec.json.decode(line)
    cut = _cut(decoded, max_text)
    return CutLine(msgspec.Raw(line if cut is decoded else msgspec.json.encode(cut)), is_cut=cut is not decoded)


def _cut(value: Any, max_text: int) -> Any:
    """Return a decoded JSON value with its parts cut; the same object if nothing has to be cut."""
    if isinstance(value, str):
        return value if len(value) <= max_text else value[:max_text]
    if isinstance(value, dict):
        found = {name: _cut(each, max_text) for name, each in value.items()}
        return found if any(found[name] is not each for name, each in value.items()) else value
    if isinstance(value, list):
        kept = value
        if len(value) > max_text // TEXT_PER_NUMBER and isinstance(value[0], int | float):
            kept = value[: max_text // TEXT_PER_NUMBER]
        parts = [_cut(each, max_text) for each in kept]
        is_same = kept is value and all(new is old for new, old in zip(parts, value, strict=True))
        return value if is_same else parts
    return value
