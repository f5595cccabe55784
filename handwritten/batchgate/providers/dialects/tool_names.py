"""Fits the names of tools to servers that allow few characters, and restores them in answers.

The two functions undo each other, so that an answer needs no table. A character that is not allowed is written as
``_x2e_``, its code point in hexadecimal. A name that fits, and looks like no such code, stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

from batchgate.engine.model.errors import Untranslatable

MAX_LENGTH: Final = 64

_TO_ESCAPE: Final = re.compile(r"[^a-zA-Z0-9_-]|_(?=x[0-9a-f]+[^a-zA-Z0-9-])")
"""Characters that are not allowed, and underscores that would begin a code together with what follows."""
_ESCAPED: Final = re.compile(r"_x(?!d[89a-f][0-9a-f]{2}_)([0-9a-f]{1,5}|10[0-9a-f]{4})_")
"""A code of a character; surrogates are none."""


def fit_tool_name(name: str, path: str) -> str:
    """Return a name of letters, digits, ``_`` and ``-``; raises `Untranslatable` for one that is empty or too long."""
    fitting = _TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):x}_", name)
    if not 0 < len(fitting) <= MAX_LENGTH:
        raise Untranslatable(path, f"should have 1 to {MAX_LENGTH} letters, digits, _ and -; others count as 5 or more")
    return fitting


def restore_tool_name(name: str) -> str:
    """Return the name that `fit_tool_name` was called with."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
