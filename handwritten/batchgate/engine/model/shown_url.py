"""URLs of settings as people may see them: scheme, host and path, without anything that looks like a credential."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "..."
"""In the place of what is left out."""
SHORTEST_RUN: Final = 16
"""Letters and digits in a row, some of them digits, that make a part of a path look like a key."""
SHORTEST_PART: Final = 32
"""Characters of a part with digits that does, such as a UUID."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.*{}-]*)(:\d*)?")
_KEY_PREFIX: Final = re.compile(r"(?i:sk|pk|rk|gsk|xai|hf|ghp|key|token|secret|bearer)[-_:].{6,}")
_RUN: Final = re.compile(rf"(?=[A-Za-z]*\d)[A-Za-z\d]{{{SHORTEST_RUN},}}")


def shown_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, and without parts of its path that may be keys."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    address = authority.rpartition("@")[2]
    host = _without_query(address)
    shown = f"{scheme}{separator}{host if _HOST.fullmatch(host) else HIDDEN}"
    if host != address:  # what follows is part of a query
        return shown
    return f"{shown}{slash}{'/'.join(map(_shown_part, _without_query(path).split('/')))}"


def _without_query(text: str) -> str:
    return re.split(r"[?#]", text)[0]


def _shown_part(part: str) -> str:
    is_long = len(part) >= SHORTEST_PART and any(character.isdigit() for character in part)
    looks_like_key = is_long or "=" in part or "@" in part or _KEY_PREFIX.match(part) or _RUN.search(part)
    return HIDDEN if looks_like_key else part
