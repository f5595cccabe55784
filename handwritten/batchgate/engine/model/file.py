"""The values that files are made of."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.model.batch import BatchPart


class Upload(Struct, frozen=True, kw_only=True):
    """What an upload says of its file."""

    purpose: str
    filename: str
    provider: str
    lifetime: int | None = None
    """Seconds from the upload to the expiry; None for what its purpose has."""


class NewFile(Struct, frozen=True, kw_only=True):
    """A file about to be stored, its content written already; times are microseconds since the epoch."""

    id: str
    workspace: str
    provider: str
    """One of the documented providers, by which files can be told apart; they are all kept here."""
    purpose: str
    filename: str
    size: int
    """Bytes of the content."""
    sha256: bytes
    """Of the content; empty where it shows a part of a batch."""
    created_at: int
    expires_at: int | None
    """From when on the file is gone."""
    blob: str | None
    """None for a file that shows a part of a batch."""
    batch_id: str | None = None
    part: BatchPart | None = None


class File(NewFile, frozen=True, kw_only=True):
    """A file as the store knows it."""

    key: int
    """The order of upload: a larger key is a newer file."""


class FilePage(Struct, frozen=True, kw_only=True):
    """Some files in the order that was asked for, and whether there are more."""

    files: tuple[File, ...]
    has_more: bool
