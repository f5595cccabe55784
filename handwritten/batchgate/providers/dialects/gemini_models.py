"""What differs between the generations of Gemini's models, and their thought signatures.

Gemini 3 rejects a function call of an earlier turn without its signature; Google names a value that stands for one,
for calls that another model made (more-dialects 1.8).
"""

from __future__ import annotations

import re
from typing import Final

SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's value for a call that never had a signature."""

_GENERATION: Final = re.compile(r"gemini-(\d+)")
_LEVELS_SINCE: Final = 3


def has_thinking_levels(model: str) -> bool:
    """Return whether a model takes a thinking level, and not only a budget; so does one of an unknown generation."""
    found = _GENERATION.search(model)
    return found is None or int(found[1]) >= _LEVELS_SINCE


def needs_signatures(model: str) -> bool:
    """Return whether a model rejects function calls without a signature."""
    found = _GENERATION.search(model)
    return found is not None and int(found[1]) >= _LEVELS_SINCE


def combines_json_with_tools(model: str) -> bool:
    """Return whether a model accepts an output format together with functions; Gemini 2 answers 400."""
    return has_thinking_levels(model)
