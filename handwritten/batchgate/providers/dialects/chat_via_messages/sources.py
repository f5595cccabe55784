"""Translates images and files: URLs of Chat Completions to sources of Messages."""

from __future__ import annotations

from typing import Final, get_args

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.engine.model.errors import Untranslatable
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

_PDF: Final = "application/pdf"
_BASE64: Final = ";base64"
_IMAGE_FORMAT: Final = msgspec.json.Decoder(m.ImageMediaType)
_IMAGE_FORMAT_NAMES: Final = ", ".join(get_args(get_args(m.ImageMediaType)[0]))

_OTHER_NAMES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_BASE64_STARTS: Final = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""The first bytes of each format, in base64."""


class _DataUrl(Struct, frozen=True):
    media_type: str
    data: str


class _PdfSource(Struct, frozen=True, tag_field="type", tag="base64"):
    """The source of a document block, which spec/messages.yaml leaves raw."""

    media_type: str
    data: str


def image_block(url: str, path: str) -> m.ImageBlockParam:
    """Translate an image; raises `Untranslatable` for a URL that Messages does not support."""
    if url.startswith(("http://", "https://")):
        return m.ImageBlockParam(source=m.UrlImageSource(url=url))
    found = _data_url(url, path)
    try:
        media_type = _IMAGE_FORMAT.decode(msgspec.json.encode(_image_type(found)))
    except msgspec.ValidationError as error:
        raise Untranslatable(path, f"the image should be one of {_IMAGE_FORMAT_NAMES}") from error
    return m.ImageBlockParam(source=m.Base64ImageSource(media_type=media_type, data=found.data))


def _image_type(image: _DataUrl) -> str:
    """Return the media type of the data, or else the declared one: Anthropic rejects an image of another type."""
    found = next((kind for start, kind in _BASE64_STARTS.items() if image.data.startswith(start)), image.media_type)
    return _OTHER_NAMES.get(found, found)


def document_block(file: c.ChatFile, path: str) -> m.DocumentBlockParam:
    """Translate a PDF; raises `Untranslatable` for any other file."""
    if not file.file_data:
        raise Untranslatable(f"{path}.file_data", "Field required")
    found = _data_url(file.file_data, f"{path}.file_data")
    if found.media_type != _PDF:
        raise Untranslatable(f"{path}.file_data", f"the file should be {_PDF}; send other documents as text parts")
    source = _PdfSource(media_type=_PDF, data=found.data)
    return m.DocumentBlockParam(source=Raw(msgspec.json.encode(source)), title=file.filename or UNSET)


def _data_url(url: str, path: str) -> _DataUrl:
    """Parse ``data:image/png;base64,...``; the scheme and the media type are case-insensitive (RFC 2397)."""
    head, comma, data = url.partition(",")
    head = head.lower()
    if not comma or not head.startswith("data:") or not head.endswith(_BASE64):
        raise Untranslatable(path, "should be an http URL or data:<type>;base64,<bytes>")
    media_type = head.removeprefix("data:").removesuffix(_BASE64).partition(";")[0]
    return _DataUrl(media_type, "".join(data.split()))
