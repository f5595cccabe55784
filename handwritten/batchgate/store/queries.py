"""Reads named statements from .sql files: SQL stays out of Python, which only binds parameters."""

from __future__ import annotations

import re
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(package: str, name: str) -> dict[str, str]:
    """Read the statements of one file; each follows a line ``-- name: its_name``."""
    text = files(package).joinpath(name).read_text()
    _, *parts = _HEADING.split(text)
    return {key: statement.strip() for key, statement in zip(parts[::2], parts[1::2], strict=True)}
