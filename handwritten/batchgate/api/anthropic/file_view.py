"""Files in the shape of Anthropic's Files API."""

from __future__ import annotations

from mimetypes import MimeTypes
from typing import Final

from batchgate.api.downloads import BINARY, JSONL
from batchgate.engine.model.file import File, FilePage
from batchgate.engine.model.times import rfc3339, rfc3339_or_none
from batchgate_api import anthropic

PAGE_PREFIX: Final = "page_"
"""The prefix of a cursor in `next_page`, as Anthropic documents it; the id of a file follows."""

_TYPES_BY_NAME: Final = MimeTypes()
"""The table of Python itself, without the files of the machine, so that each gateway returns the same."""
_TYPES_BY_NAME.add_type(JSONL, ".jsonl")


def anthropic_file(file: File) -> anthropic.AnthropicFile:
    """Return the metadata of a file."""
    return anthropic.AnthropicFile(
        id=file.id,
        type="file",
        filename=file.filename,
        mime_type=file.mime_type or _TYPES_BY_NAME.guess_type(file.filename)[0] or BINARY,
        size_bytes=file.size,
        created_at=rfc3339(file.created_at),
        expires_at=rfc3339_or_none(file.expires_at),
        downloadable=True,
    )


def anthropic_file_page(page: FilePage, *, backwards: bool) -> anthropic.AnthropicFilePage:
    """Return a page of files; ``backwards`` means that it continues with newer files, which `page` cannot."""
    data = [anthropic_file(file) for file in page.files]
    return anthropic.AnthropicFilePage(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        next_page=f"{PAGE_PREFIX}{data[-1].id}" if data and page.has_more and not backwards else None,
    )
