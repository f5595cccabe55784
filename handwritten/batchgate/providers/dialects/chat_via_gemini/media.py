"""Translates images, files and audio of Chat Completions to Gemini's inlineData."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.data_urls import DataUrl, parse_data_url
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

PDF: Final = "application/pdf"

IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
"""The images that Gemini takes."""

_OTHER_NAMES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}


def image_blob(url: str, path: str) -> g.GeminiBlob:
    """Translate an image; raises `Untranslatable` for one that Gemini does not take."""
    if url.startswith(("http://", "https://")):
        raise Untranslatable(path, "Gemini does not fetch images; send data:<type>;base64,<bytes>")
    found = _parsed(url, path)
    media_type = _OTHER_NAMES.get(found.media_type, found.media_type)
    if media_type not in IMAGES:
        raise Untranslatable(path, f"the image should be one of {', '.join(sorted(IMAGES))}")
    return g.GeminiBlob(mimeType=media_type, data=found.data)


def file_blob(file: c.ChatFile, path: str) -> g.GeminiBlob:
    """Translate a PDF; raises `Untranslatable` for any other file."""
    if not file.file_data:
        raise Untranslatable(f"{path}.file_data", "Field required")
    found = _parsed(file.file_data, f"{path}.file_data")
    if found.media_type != PDF:
        raise Untranslatable(f"{path}.file_data", f"the file should be {PDF}; send other documents as text parts")
    return g.GeminiBlob(mimeType=PDF, data=found.data)


def audio_blob(audio: c.ChatInputAudio) -> g.GeminiBlob:
    """Translate audio, which is WAV or MP3."""
    return g.GeminiBlob(mimeType=f"audio/{audio.format}", data=audio.data)


def _parsed(url: str, path: str) -> DataUrl:
    found = parse_data_url(url)
    if found is None:
        raise Untranslatable(path, "should be data:<type>;base64,<bytes>")
    return found
