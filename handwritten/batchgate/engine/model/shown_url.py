"""URLs of settings as people may see them: scheme, host and path, without anything that looks like a credential."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "..."
"""In the place of what is left out."""
SHORTEST_RUN: Final = 16
"""Letters and digits in a row, some of them digits, that make a part of a path look like a key."""
SHORTEST_PART: Final = 32
"""Characters of a part with digits that does, such as a UUID, and letters in a row without any."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.*{}-]*)(:\d*)?")
_KEY_WORD: Final = re.compile(r"(?i:(api[-_]?)?key|token|secret|bearer)")
_KEY_PREFIX: Final = re.compile(rf"((?i:sk|pk|rk|gsk|xai|hf|ghp)|{_KEY_WORD.pattern})[-_:].{{6,}}|AIza.{{6,}}")
_RUN: Final = re.compile(rf"(?=[A-Za-z]*\d)[A-Za-z\d]{{{SHORTEST_RUN},}}|[A-Za-z]{{{SHORTEST_PART},}}")


def shown_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, and without parts of its path that may be keys."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    address = authority.rpartition("@")[2]
    host = _without_query(address)
    is_host = _HOST.fullmatch(host) and "@" not in path  # with an @ in the path, this is user and password
    shown = f"{scheme}{separator}{host if is_host else HIDDEN}"
    if host != address:  # what follows is part of a query
        return shown
    return f"{shown}{slash}{_shown_path(_without_query(path))}"


def _without_query(text: str) -> str:
    return re.split(r"[?#]", text)[0]


def _shown_path(path: str) -> str:
    """Return a path without the parts that look like keys, and without those that follow a word such as ``key``."""
    return "/".join(
        HIDDEN if part and (_KEY_WORD.fullmatch(_unquoted(before)) or _looks_like_key(_unquoted(part))) else part
        for before, part in pairwise(["", *path.split("/")])
    )


def _looks_like_key(part: str) -> bool:
    is_long = len(part) >= SHORTEST_PART and any(character.isdigit() for character in part)
    has_key = is_long or "=" in part or "@" in part or _RUN.search(part) is not None
    return has_key or any(map(_KEY_PREFIX.match, part.split("/")))


def _unquoted(part: str) -> str:
    while (plain := unquote(part)) != part:
        part = plain
    return part
