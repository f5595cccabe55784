"""Escapes characters that some readers of result lines take for line ends, such as ``str.splitlines`` in Python.

JSON allows U+0085, U+2028 and U+2029 in texts as they are. Escaped, the JSON value is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ESCAPES: Final[Mapping[bytes, bytes]] = {
    "\N{NEXT LINE}".encode(): rb"\u0085",
    "\N{LINE SEPARATOR}".encode(): rb"\u2028",
    "\N{PARAGRAPH SEPARATOR}".encode(): rb"\u2029",
}


def escape_line_separators(line: bytes) -> bytes:
    """Return a line of JSON in UTF-8 with these characters escaped; most lines have none, and are returned as is."""
    if line.isascii():
        return line
    for character, escape in _ESCAPES.items():
        if character in line:
            line = line.replace(character, escape)
    return line
