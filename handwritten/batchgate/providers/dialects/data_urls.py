"""Data URLs with base64 content (RFC 2397), in which Chat Completions carries images and files."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_BASE64: Final = ";base64"


class DataUrl(Struct, frozen=True):
    """The parts of ``data:image/png;base64,...``."""

    media_type: str
    """In lower case, without parameters."""
    data: str
    """Base64 without white space."""

    def __str__(self) -> str:
        """Return the URL."""
        return f"data:{self.media_type}{_BASE64},{self.data}"


def parse_data_url(url: str) -> DataUrl | None:
    """Parse a data URL; None for any other text. The scheme and the media type are case-insensitive."""
    head, comma, data = url.partition(",")
    head = head.lower()
    if not comma or not head.startswith("data:") or not head.endswith(_BASE64):
        return None
    media_type = head.removeprefix("data:").removesuffix(_BASE64).partition(";")[0]
    return DataUrl(media_type, "".join(data.split()))
