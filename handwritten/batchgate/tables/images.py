"""Images of rows: URLs as they are, files and the bytes of datasets as data URLs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from batchgate.tables.errors import RowError

MAX_IMAGE: Final = 20 * 1024 * 1024
"""Bytes of one image."""
LONGEST_SIGNATURE: Final = 12
URL_STARTS: Final = ("https://", "http://", "data:image/")


def image_url(value: object, folder: Path) -> str | None:
    """Return the URL of an image, None for an empty cell; a path is relative to ``folder``. Raises `RowError`.

    A Hugging Face dataset has images as ``{"bytes": ..., "path": ...}``.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        return _data_url(value, "in the row")
    if not isinstance(value, str):
        raise RowError("the image is neither a path nor a URL")
    return value if value.startswith(URL_STARTS) else _data_url(_read(folder / value), value)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_IMAGE + 1)
    except (OSError, ValueError) as error:
        raise RowError(f"the image {str(path)!r} cannot be read: {getattr(error, 'strerror', error)}") from error


def _data_url(content: bytes, name: str) -> str:
    if len(content) > MAX_IMAGE:
        raise RowError(f"the image {name!r} has more than {MAX_IMAGE // 1024 // 1024} MiB")
    media_type = _media_type(content[:LONGEST_SIGNATURE])
    if media_type is None:  # so a table from elsewhere cannot have other files sent
        raise RowError(f"the image {name!r} is no PNG, JPEG, GIF or WebP")
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _media_type(start: bytes) -> str | None:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if start.startswith(b"RIFF") and start[8:12] == b"WEBP" else None
