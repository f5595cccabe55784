"""Reads the images of Chat Completions answers.

OpenRouter has a list ``images`` beside the content (openrouter.ai/docs/features/multimodal/image-generation), other
servers have content parts of the type ``image_url``. An image is a URL, mostly a data URL.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.providers.responses.json_repair import repair_json
from batchgate_api import chat_completions as c

_DATA_URL: Final = "data:image/png;base64,"
_URL_KEYS: Final = ("url", "image_url", "image")
_LIST_KEYS: Final = ("images", "data")


def message_image_urls(message: c.ChatMessage) -> list[str]:
    """Return the URLs of the images beside the content; an image in an unknown form is returned as its JSON."""
    return [] if isinstance(message.images, UnsetType) else _urls(_decode(message.images))


def part_image_urls(part: c.ChatMessagePart) -> list[str]:
    """Return the URL of an image part."""
    return [] if isinstance(part.image_url, UnsetType) else _urls(_decode(part.image_url))


def markdown_image(url: str) -> str:
    """Return an image as Markdown, for answers whose dialect has no images."""
    return f"![image]({url})"


def images_field(urls: list[str]) -> Raw:
    """Return URLs in the form of OpenRouter's field ``images``."""
    return Raw(msgspec.json.encode([{"type": "image_url", "image_url": {"url": url}} for url in urls]))


def base64_image(url: str) -> tuple[str, str] | None:
    """Return the format, such as png, and the base64 data of a data URL of an image; None for any other URL."""
    head, comma, data = url.partition(",")
    head = head.lower()
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        return None
    return head.removeprefix("data:image/").partition(";")[0], data


def _decode(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except DECODING_ERRORS:
        return msgspec.json.decode(repair_json(bytes(raw)))


def _urls(value: object) -> list[str]:
    match value:
        case None | "":
            return []
        case str():
            return [value]
        case list():
            return [url for item in value for url in _urls(item)]
        case {"b64_json": str() as data}:
            return [f"{_DATA_URL}{data}"]
        case dict():
            inner = next((value[key] for key in (*_URL_KEYS, *_LIST_KEYS) if value.get(key)), None)
            return [msgspec.json.encode(value).decode()] if inner is None and value else _urls(inner)
        case _:
            return [msgspec.json.encode(value).decode()]
