"""Reads an upload of the OpenAI-shaped files API: a form whose file goes to disk (batch-apis 4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, web
from msgspec import Struct

from batchgate.providers.simulator.batches.downloads import CHUNK, write_body
from batchgate.providers.simulator.batches.openai_errors import invalid

MIN_EXPIRY: Final = 3600
MAX_EXPIRY: Final = 2_592_000


class Upload(Struct, kw_only=True):
    """The fields of an upload."""

    filename: str | None = None
    size: int = 0
    purpose: str | None = None
    expires_after: int | None = None
    """For how many seconds the file is to be kept."""


async def read_upload(request: web.Request, path: Path, max_bytes: int, *, purpose_required: bool = True) -> Upload:
    """Read the form, with its fields in any order, and write its file to a path."""
    if request.content_type != "multipart/form-data":
        raise invalid(f"Content-Type: must be multipart/form-data, not {request.content_type}")
    upload = Upload()
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid("A part of the form has parts of its own.")
        if part.name == "file":
            upload.filename = part.filename or "upload"
            upload.size = await write_body(part_chunks(part), path, max_bytes)
        elif part.name == "purpose":
            upload.purpose = await part.text()
        elif part.name in {"expires_after[seconds]", "expires_after"}:  # the latter is xAI's
            upload.expires_after = read_expiry(await part.text(), "expires_after.seconds")
    if upload.filename is None or (purpose_required and upload.purpose is None):
        raise invalid(f"'{'file' if upload.filename is None else 'purpose'}' is a required property")
    return upload


def read_expiry(value: str | int, param: str) -> int:
    """Return a number of seconds; raises `RefusedError` if it is not in range."""
    text = str(value)
    if not (text.isascii() and text.isdigit() and MIN_EXPIRY <= int(text) <= MAX_EXPIRY):
        raise invalid(f"{param}: must be from {MIN_EXPIRY} to {MAX_EXPIRY}, not {text!r}", param)
    return int(text)


async def part_chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Yield the content of a part of a form."""
    while chunk := await part.read_chunk(CHUNK):
        yield chunk
