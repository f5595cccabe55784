"""The pattern of an error message: what is left of it when the parts that differ between requests are taken out.

Two messages for the same reason have the same pattern, as far as these rules find what differs::

    Rate limit of org-Xk29fJ3mQz81 reached: 512 of 500   Rate limit of <id> reached: <n> of <n>
    messages.17.content: "two words" is too long         messages.<n>.content: "<value>" is too long
    the model 'gpt-4o' does not exist                    the model 'gpt-4o' does not exist
    see https://example.com/errors?trace=81f             see https://example.com/errors?<query>
    try again at 2026-10-21T07:28:00Z                    try again at <time>
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

MAX_PATTERN: Final = 300
"""Maximum number of characters of a pattern."""
MAX_READ: Final = 1000
"""Maximum number of characters of a message that are read."""

NUMBER: Final = "<n>"
ID: Final = "<id>"
TIME: Final = "<time>"
VALUE: Final = "<value>"
QUERY: Final = "<query>"

_LONGEST_WORD: Final = 64
_SHORTEST_ID: Final = 8
_SHORTEST_LONG_ID: Final = 16
_MIXED: Final = 3
"""How often letters and digits alternate in a part of an id, at least; a model has ``7b`` or ``v2``."""

_QUOTED: Final = re.compile(r"""(?<!\w)(?:'([^'\n]*)'|"([^"\n]*)"|`([^`\n]*)`|“([^“”\n]*)”)(?!\w)""")
_QUERY: Final = re.compile(r"""(\bhttps?://[^\s?#"'`<>]*[?#])[^\s"'`<>]+""")
_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_CLOCK: Final = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
_ZONE: Final = r"(?: ?(?:Z|UTC|GMT)\b|[+-]\d{2}:?\d{2})?"
_TIME: Final = re.compile(rf"(?<!\d)(?:{_DATE}(?:[T ]{_CLOCK})?|{_CLOCK}){_ZONE}(?!\d)")
_PREFIXED_ID: Final = re.compile(
    r"\b(?:req|request|trace|chatcmpl|msg|toolu|call|resp|batch|file|org|proj)[-_](?=[a-z]*[A-Z\d])[A-Za-z\d]{8,}\b"
)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORD: Final = re.compile(r"(?<![\w.-])[\w.-]*\d[\w.-]*")
_PARTS: Final = re.compile(r"[._-]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_LONG_NUMBER: Final = re.compile(r"\d{3,}")
_INDEX: Final = re.compile(r"(?<=[^\W\d])\.\d+(?:\.\d+)*(?![\w-])|(?<=[^\W\d])\.\d+(?=\.[^\W\d])")
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")


@lru_cache(maxsize=256)
def pattern_of(message: str) -> str:
    """Return the pattern of a message, on one line and of at most `MAX_PATTERN` characters."""
    text = message[:MAX_READ]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    text = _QUERY.sub(rf"\g<1>{QUERY}", text)
    text = _QUOTED.sub(_without_value, text)
    text = _TIME.sub(TIME, text)
    text = _PREFIXED_ID.sub(ID, text)
    text = _THOUSANDS.sub("", text)
    text = _WORD.sub(_word_pattern, text)
    return text if len(text) <= MAX_PATTERN else f"{text[: MAX_PATTERN - 1]}…"


def _without_value(quoted: re.Match[str]) -> str:
    """Replace a quoted text of several words; one word is likely to name a field or a model, and is kept."""
    text = quoted[0]
    inner = text[1:-1]
    is_word = len(inner) <= _LONGEST_WORD and not any(character.isspace() for character in inner)
    return text if is_word else f"{text[0]}{VALUE}{text[-1]}"


def _word_pattern(word: re.Match[str]) -> str:
    """Replace a word with digits: an id as a whole, otherwise its numbers.

    A number of one or two digits in a word that begins with a letter is kept, as in ``gpt-4o`` and ``llama-3.1-8b``,
    unless it is an index between dots.
    """
    text = word[0]
    if any(_is_id(part) for part in _PARTS.split(text)):
        return ID
    if text.lstrip("._-")[:1].isdigit():
        return _NUMBER.sub(NUMBER, text)
    text = _INDEX.sub(lambda index: re.sub(r"\d+", NUMBER, index[0]), text)
    return _LONG_NUMBER.sub(NUMBER, text)


def _is_id(part: str) -> bool:
    """Return whether a part of a word looks made up: long, of letters and digits without order."""
    if len(part) < _SHORTEST_ID or part.isdigit() or not any(character.isdigit() for character in part):
        return False
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(part))
    return changes >= _MIXED or len(part) >= _SHORTEST_LONG_ID or _HEXADECIMAL.issuperset(part)
