"""Where log records go: the one place that configures logging."""

from __future__ import annotations

import logging
import sys
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
DEFAULT_LEVEL: Final = "info"


def log_to_stderr(level: str) -> None:
    """Write records of a level and above to stderr, one readable line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    # Its debug records say which selector is used, to nobody's gain.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
