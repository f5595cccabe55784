"""Translates images and files: data URLs of Chat Completions to blocks of Converse."""

from __future__ import annotations

import re
from typing import Final, get_args

import msgspec

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.data_urls import DataUrl, parse_data_url
from batchgate.providers.dialects.image_types import image_type
from batchgate_api import chat_completions as c
from batchgate_api import converse as v

_IMAGE_FORMAT: Final = msgspec.json.Decoder(v.ConverseImageFormat)
_IMAGE_FORMATS: Final = ", ".join(get_args(get_args(v.ConverseImageFormat)[0]))

DOCUMENT_TYPES: Final[dict[str, v.ConverseDocumentFormat]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
"""The formats of documents by media type."""

_MAX_NAME: Final = 200
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]")


def image_block(url: str, path: str) -> v.ConverseBlock:
    """Translate an image; raises `Untranslatable` for a URL that is not a data URL of an image."""
    found = _data_url(url, path)
    try:
        image_format = _IMAGE_FORMAT.decode(msgspec.json.encode(image_type(found).removeprefix("image/")))
    except msgspec.ValidationError as error:
        raise Untranslatable(path, f"the image should be one of {_IMAGE_FORMATS}") from error
    source = v.ConverseImageSource(bytes=found.data)
    return v.ConverseBlock(image=v.ConverseImage(format=image_format, source=source))


class DocumentNames:
    """Makes the names of the documents of a request, which differ from each other."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def name(self, filename: str | None) -> str:
        """Return a name that Converse allows."""
        words = _NOT_IN_NAMES.sub("-", filename or "document").split()
        name = " ".join(words)[:_MAX_NAME].strip() or "document"
        number, unique = 1, name
        while unique in self._used:
            number += 1
            unique = f"{name[: _MAX_NAME - 8]}-{number}"
        self._used.add(unique)
        return unique


def document_block(file: c.ChatFile, path: str, names: DocumentNames) -> v.ConverseBlock:
    """Translate a file; raises `Untranslatable` for a type that Converse does not know."""
    if not file.file_data:
        raise Untranslatable(f"{path}.file_data", "Field required")
    found = _data_url(file.file_data, f"{path}.file_data")
    if found.media_type not in DOCUMENT_TYPES:
        raise Untranslatable(f"{path}.file_data", f"the file should be one of {', '.join(DOCUMENT_TYPES)}")
    document = v.ConverseDocument(
        format=DOCUMENT_TYPES[found.media_type],
        name=names.name(file.filename or None),
        source=v.ConverseDocumentSource(bytes=found.data),
    )
    return v.ConverseBlock(document=document)


def _data_url(url: str, path: str) -> DataUrl:
    found = parse_data_url(url)
    if found is None:
        raise Untranslatable(path, "should be data:<type>;base64,<bytes>, as Bedrock downloads nothing")
    return found
