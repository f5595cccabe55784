"""Files: uploads, and files that show a part of a batch."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

BatchPart: TypeAlias = Literal["input", "output", "error"]
"""The files that show a batch: its requests, its successful results, and all other results."""

RESULT_PURPOSE: Final = "batch_output"
"""The purpose of files that batches make."""
MIN_COUNTED_SIZE: Final = 4096
"""The fewest bytes that a file counts for in a quota: a small one takes a block of the disk, a folder and a row."""


class Upload(Struct, frozen=True, kw_only=True):
    """The fields that come with an uploaded file."""

    purpose: str
    filename: str
    provider: str
    lifetime: int | None = None
    """Seconds from the upload to the expiry; None for the default of the purpose."""
    mime_type: str | None = None
    """The media type that the upload states for the content; None if it states none."""


class NewFile(Struct, frozen=True, kw_only=True):
    """A file that is about to be stored; its content is already written. Times are microseconds since the epoch."""

    id: str
    workspace: str
    provider: str
    """The documented provider that the file is for. Batchgate itself stores the files of all providers."""
    purpose: str
    filename: str
    size: int
    """Bytes of the content."""
    sha256: bytes
    """SHA-256 of the content; empty for a view, and for a result file that an earlier version wrote."""
    created_at: int
    expires_at: int | None
    """When the file expires; None if it is kept until it is deleted."""
    blob: str | None
    """None for a file that shows a part of a batch."""
    batch_id: str | None = None
    part: BatchPart | None = None
    mime_type: str | None = None
    """The media type that the upload or the provider stated for the content; None if it stated none."""
    output_of: int | None = None
    """The key of the batch that an output belongs to: a file which a request made, kept as long as its results."""


class File(NewFile, frozen=True, kw_only=True):
    """A stored file."""

    key: int
    """The database key; it grows with each stored file."""


def counted_size(size: int) -> int:
    """Return the bytes that a file of a size counts for in the quota of its workspace."""
    return max(size, MIN_COUNTED_SIZE)


class FilePage(Struct, frozen=True, kw_only=True):
    """One page of files, in the requested order."""

    files: tuple[File, ...]
    has_more: bool
