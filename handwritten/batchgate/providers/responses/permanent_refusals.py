"""Recognizes refusals for a rate limit that can never succeed: the request alone is larger than the limit.

OpenAI, Groq and others send them with 429 and the code of any other rate limit, so only the words differ:
"Request too large for gpt-4o ... on tokens per min (TPM): Limit 30000, Requested 52000. The input or output tokens must
be reduced in order to run successfully."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_CODES: Final = frozenset({"request_too_large", "context_length_exceeded", "string_above_max_length"})

_WORDS: Final = re.compile(
    r"\b(?:request|prompt|input|message|payload|body)(?: size| length)?(?: is| was)? too (?:large|big|long)\b"
    r"|\bmust be (?:reduced|shortened)\b"
    r"|\b(?:can|will) never (?:be served|succeed|complete|fit)\b"
    r"|\bmaximum context length\b",
    re.IGNORECASE,
)
"""Anthropic's "Please reduce the prompt length or the maximum tokens requested, or try again later" is none of them."""

_PASSES: Final = re.compile(r"\bconcurrency\b|\brate must be\b|\b(?:try again|retry) (?:in|after) ~?\d", re.IGNORECASE)
"""Words of a refusal for the number of calls or for what is left of a limit, whatever else it says of a size."""

_NUMBER: Final = r"(\d{1,3}(?:[,_ ]\d{3})+|\d+(?:\.\d+)?)(k|m)?\b"
_LIMIT: Final = re.compile(rf"\blimit(?:ed)?(?: is| of| to)?[ :=(]*{_NUMBER}", re.IGNORECASE)
_REQUESTED: Final = re.compile(
    rf"\brequested(?: tokens)?(?: is| was)?[ :=(]*{_NUMBER}"
    rf"|\brequest (?:of|for|with|has|needs|uses|contains) {_NUMBER}"
    rf"|\b{_NUMBER}(?: \w+)? (?:were |was )?requested\b",
    re.IGNORECASE,
)
_COUNTS_CALLS: Final = re.compile(
    r"concurren|in[ -]flight|simultaneous|parallel|\brp[smd]\b|\brequests? ?(?:per|/|a|an|each)\b|\bcalls per\b",
    re.IGNORECASE,
)
"""Limits on the number of calls: the number that is requested is that of all calls, not of this one."""
_UNITS: Final = {"": 1.0, "k": 1e3, "m": 1e6}


_USED_UP: Final = re.compile(r"\blimited to [\d,]+ (?:API )?calls ?(?:/|per|a) ?month\b", re.IGNORECASE)


def is_used_up(message: str) -> bool:
    """Return whether a refusal means that the calls of a month are used up, as Cohere says of its trial keys."""
    return _USED_UP.search(message) is not None


def is_permanent_refusal(message: str, codes: Iterable[str]) -> bool:
    """Return whether a refusal for a rate limit means that the same request will be refused each time."""
    if not _CODES.isdisjoint(codes) or (_WORDS.search(message) and not _PASSES.search(message)):
        return True
    if _COUNTS_CALLS.search(message):
        return False
    limits, requested = tuple(_numbers(_LIMIT, message)), tuple(_numbers(_REQUESTED, message))
    return bool(limits) and bool(requested) and min(requested) > max(limits)


def _numbers(pattern: re.Pattern[str], message: str) -> Iterator[float]:
    """Yield the numbers that a pattern finds: each alternative of it has a group of digits and one of a unit."""
    for groups in pattern.findall(message):
        for digits, unit in zip(groups[::2], groups[1::2], strict=True):
            if digits:
                yield float(re.sub(r"[,_ ]", "", digits)) * _UNITS[unit.lower()]
