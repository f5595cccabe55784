"""The files of the simulated files APIs, on disk in a temporary folder."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a provider's files API."""

    id: str
    provider: str
    owner: str
    filename: str
    purpose: str
    size: int
    created: float
    """Seconds since the epoch."""
    expires: float | None
    path: Path


class FileStore:
    """The files that were not deleted, in the order of their creation."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def add(self, file: StoredFile) -> None:
        """Add a file."""
        self._files[file.id] = file

    def find(self, provider: str, owner: str, file_id: str, now: float) -> StoredFile | None:
        """Return a file that its owner can see, or None."""
        file = self._files.get(file_id)
        if file is None or (file.provider, file.owner) != (provider, owner):
            return None
        if file.expires is not None and now >= file.expires:
            self.delete(file)
            return None
        return file

    def newest_first(self, provider: str, owner: str, now: float) -> list[StoredFile]:
        """Return all files that an owner can see, newest first."""
        found = [self.find(provider, owner, file_id, now) for file_id in reversed([*self._files])]
        return [file for file in found if file is not None]

    def delete(self, file: StoredFile) -> None:
        """Delete a file; a job that still reads it keeps it, since the file on disk is removed with the folder."""
        del self._files[file.id]
