"""The metadata of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchgate.engine.model.errors import RefusedError

MAX_KEY: Final = 64
"""Maximum characters of a key."""


def checked_metadata(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Check the length of the keys, which the generated models do not."""
    for key in metadata or ():
        if len(key) > MAX_KEY:
            message = f"metadata: a key may have at most {MAX_KEY} characters, and {key!r} has {len(key)}"
            raise RefusedError("invalid_request_error", message, param="metadata")
    return metadata
