"""Cuts long texts in lines of a batch, which may be documents or images, so that a page of them stays small."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

TEXT_PER_NUMBER: Final = 16
"""Characters of a text for each number of a list, such as an embedding, that is kept."""

_TOO_DEEP: Final = msgspec.Raw(b"{}")
"""Instead of a line that is nested more deeply than Python decodes."""


class CutLine(Struct, frozen=True):
    """A line, and whether something was cut out of it."""

    json: msgspec.Raw
    is_cut: bool


def cut_line(line: bytes, max_text: int) -> CutLine:
    """Return a line, which is JSON, with its texts cut to a length and its lists of numbers to a sixteenth of it."""
    line = line.strip()
    if len(line) <= max_text:
        return CutLine(msgspec.Raw(line), is_cut=False)
    try:
        whole = {"line": msgspec.json.decode(line)}
        if not _cut(whole, max_text):
            return CutLine(msgspec.Raw(line), is_cut=False)
        return CutLine(msgspec.Raw(msgspec.json.encode(whole["line"])), is_cut=True)
    except RecursionError:
        return CutLine(_TOO_DEEP, is_cut=True)


def _cut(whole: Any, max_text: int) -> bool:
    """Cut the parts of a decoded JSON value in place, however deep; return whether something had to be cut."""
    is_cut = False
    waiting = [whole]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list) and len(value) > max_text // TEXT_PER_NUMBER and isinstance(value[0], int | float):
            del value[max_text // TEXT_PER_NUMBER :]
            is_cut = True
        for place, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(part, dict | list):
                waiting.append(part)
            elif isinstance(part, str) and len(part) > max_text:
                value[place] = part[:max_text]
                is_cut = True
    return is_cut
