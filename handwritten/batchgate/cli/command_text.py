"""Commands as text, for messages that say what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Final, TypeAlias

Command: TypeAlias = Callable[..., str]
"""Makes the text of a command from its words, for the gateway that is in use."""

DEFAULT_URL: Final = "http://127.0.0.1:8080"
URL_VARIABLE: Final = "BATCHGATE_URL"


def command_text(url: str, *words: str) -> str:
    """Return a shell command that reaches the gateway at a URL."""
    implied = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    place = [] if url == implied.rstrip("/") else ["--url", url]
    return shlex.join(["batchgate", *words, *place])
