"""URLs of settings as people may see them: scheme, host and path, without anything that looks like a credential."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "..."
"""In the place of what is left out."""
MIN_RUN: Final = 16
"""Letters and digits in a row, some of them digits, that make a part of a path look like a key."""
MIN_PART: Final = 32
"""Characters of a part with digits that does, such as a UUID."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.*{}-]*)(:\d*)?")
_KEY_PREFIX: Final = re.compile(r"(?i:sk|pk|rk|gsk|xai|hf|ghp|key|token|secret|bearer)[-_:].{6,}")
_RUN: Final = 16
"""Letters and digits in a row, some of them digits, that make a part of a path look like a key."""
MIN_PART: Final = 32
"""Characters of a part with digits that does, such as a UUID."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.*{}-]*)(:\d*)?")
_KEY_PREFIX: Final = re.compile(
    r"(sk|pk|rk|key|token|secret|gsk|xai|hf|ghp|bearer|AKIA|AIza)(?=[-_=:A-Z\d]).{6,}", re.IGNORECASE
)
_RUN: Final = re.compile(rf"(?=[A-Za-z]*\d)[A-Za-z\d]{{{MIN_RUN},}}")


def shown_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, and without parts of its path that may be keys."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = re.split(r"[?#]", authority.rpartition("@")[2])[0]
    shown = host if _HOST.fullmatch(host) else HIDDEN
    if host != authority.rpartition("@")[2]:  # the path is part of a query
        return f"{scheme}{separator}{shown}"
    parts = re.split(r"[?#]", path)[0].split("/")
    return f"{scheme}{separator}{shown}{slash}{'/'.join(map(_shown_part, parts))}"


def _shown_part(part: str) -> str:
    long = len(part) >= MIN_PART and any(character.isdigit() for character in part)
    looks_like_key = long or "=" in part or "@" in part or _KEY_PREFIX.match(part) or _RUN.search(part)
    return HIDDEN if looks_like_key else part
