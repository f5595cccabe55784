"""Finds files whose upload was not answered by their names, in the lists of files in the shape of OpenAI's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob

_NO_LIST: Final = frozenset({404, 405, 501})
"""Statuses of a provider that has no list of files."""


class ListedFile(Struct, frozen=True):
    """A file in a list."""

    id: str
    filename: object = None


class FilePage(Struct, frozen=True):
    """One page of a list of files."""

    data: list[ListedFile] = []
    has_more: bool = False


def input_name(job: NativeJob) -> str:
    """Return the name of the input file of a job."""
    return f"batchgate-{job.token}.jsonl"


async def lost_uploads(job: NativeJob, pages: AsyncIterator[FilePage]) -> list[str]:
    """Return the ids of the input files of a job, if some may be lost; none where the provider lists no files."""
    if not job.may_have_lost_files:
        return []
    try:
        return [file.id async for page in pages for file in page.data if file.filename == input_name(job)]
    except UpstreamError as error:
        if error.status in _NO_LIST:
            return []
        raise
