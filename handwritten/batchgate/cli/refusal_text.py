"""Says in the words of a file what the gateway says in those of a request: lines for indexes, words for patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

MOST_SHOWN: Final = 10
"""Faults that are shown, one a line."""

_PLACE: Final = re.compile(r"requests\.(\d+)(?:\.([\w.-]+)(?=:))?")
_NEXT: Final = re.compile(r"; (?=requests\.\d)")
_WORDS: Final = (
    (
        re.compile(r"String should match pattern '?\^\[a-zA-Z0-9_-\]\{1,64\}\$'?"),
        "it must be 1 to 64 letters, digits, hyphens and underscores",
    ),
    (re.compile(r"Extra inputs are not permitted"), "there is no such field"),
    (re.compile(r"Field required"), "it is missing"),
)
_HEADER: Final = re.compile(r"^(x-model-provider|batchgate-(?:budget-usd|webhook-url|[a-z-]+))(?=:)")
_OPTIONS: Final = {
    "x-model-provider": "--account",
    "batchgate-budget-usd": "--budget",
    "batchgate-webhook-url": "--webhook",
}
"""The options whose names differ from those of the headers."""


def in_words(message: str) -> str:
    """Return a message of the gateway with the option for a header, and plain words for patterns and schemas."""
    message = _HEADER.sub(lambda match: _OPTIONS.get(match[1], match[1].replace("batchgate", "-", 1)), message)
    for pattern, words in _WORDS:
        message = pattern.sub(words, message)
    return message


def in_lines(message: str, lines: Sequence[int]) -> str:
    """Return a message of the gateway about requests with the numbers of their ``lines``, one fault a line."""
    faults = _NEXT.split(message)
    shown = [_PLACE.sub(_placed(lines), in_words(fault)) for fault in faults[:MOST_SHOWN]]
    if len(faults) > MOST_SHOWN:
        shown.append(f"and {len(faults) - MOST_SHOWN} more, which `batchgate validate FILE` shows")
    return "\n".join(shown)


def _placed(lines: Sequence[int]) -> Callable[[re.Match[str]], str]:
    def place(match: re.Match[str]) -> str:
        index, path = int(match[1]), match[2]
        if index >= len(lines):
            return match[0]
        return f"line {lines[index]}" + ("" if path is None else f": {path}")

    return place
