"""Recognises the format of an image by its first bytes."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.data_urls import DataUrl

_OTHER_NAMES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_BASE64_STARTS: Final = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""The first bytes of each format, in base64."""


def image_type(image: DataUrl) -> str:
    """Return the media type of the data, or else the declared one: providers reject an image of another type."""
    found = next((kind for start, kind in _BASE64_STARTS.items() if image.data.startswith(start)), image.media_type)
    return _OTHER_NAMES.get(found, found)
