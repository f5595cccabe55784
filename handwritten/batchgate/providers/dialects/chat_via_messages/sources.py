"""Translates images and files: URLs of Chat Completions to sources of Messages."""

from __future__ import annotations

from typing import Final, get_args

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.data_urls import DataUrl, parse_data_url
from batchgate.providers.dialects.image_types import image_type
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

_PDF: Final = "application/pdf"
_IMAGE_FORMAT: Final = msgspec.json.Decoder(m.ImageMediaType)
_IMAGE_FORMAT_NAMES: Final = ", ".join(get_args(get_args(m.ImageMediaType)[0]))


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
        media_type = _IMAGE_FORMAT.decode(msgspec.json.encode(image_type(found)))
    except msgspec.ValidationError as error:
        raise Untranslatable(path, f"the image should be one of {_IMAGE_FORMAT_NAMES}") from error
    return m.ImageBlockParam(source=m.Base64ImageSource(media_type=media_type, data=found.data))


def document_block(file: c.ChatFile, path: str) -> m.DocumentBlockParam:
    """Translate a PDF; raises `Untranslatable` for any other file."""
    if not file.file_data:
        raise Untranslatable(f"{path}.file_data", "Field required")
    found = _data_url(file.file_data, f"{path}.file_data")
    if found.media_type != _PDF:
        raise Untranslatable(f"{path}.file_data", f"the file should be {_PDF}; send other documents as text parts")
    source = _PdfSource(media_type=_PDF, data=found.data)
    return m.DocumentBlockParam(source=Raw(msgspec.json.encode(source)), title=file.filename or UNSET)


def _data_url(url: str, path: str) -> DataUrl:
    found = parse_data_url(url)
    if found is None:
        raise Untranslatable(path, "should be an http URL or data:<type>;base64,<bytes>")
    return found
