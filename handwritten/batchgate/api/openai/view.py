"""Files in the OpenAI shape."""

from __future__ import annotations

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.file import File, FilePage
from batchgate_api import openai


def file_object(file: File) -> openai.FileObject:
    """Return a file object."""
    return openai.FileObject(
        id=file.id,
        object="file",
        bytes=file.size,
        created_at=file.created_at // MICROSECONDS,
        expires_at=None if file.expires_at is None else file.expires_at // MICROSECONDS,
        filename=file.filename,
        purpose=file.purpose,
        status="processed",
        status_details=None,
    )


def file_list(page: FilePage) -> openai.FileList:
    """Return a page of file objects."""
    data = [file_object(file) for file in page.files]
    return openai.FileList(
        object="list",
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )
