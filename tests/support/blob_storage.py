"""The blob storage of the gateways in a test: their data folders, or a bucket of an S3-compatible server.

A module whose tests must pass on both sets ``pytestmark = ON_FOLDER_AND_BUCKET``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.object_server import ObjectServer

ON_FOLDER_AND_BUCKET: Final = pytest.mark.parametrize("blob_storage", ["folder", "bucket"], indirect=True)


class BlobStorage:
    """The blob storage of the current test."""

    server: ObjectServer | None = None
    """The server of the bucket; None for a folder."""

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Return the settings of a gateway that uses this storage."""
        return {} if cls.server is None else {"blob_url": cls.server.blob_url, "storage_options": cls.server.options}

    @classmethod
    def names(cls, data_dir: Path) -> list[str]:
        """List the names of all blobs."""
        if cls.server is not None:
            return cls.server.names()
        folder = data_dir / "blobs"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    @classmethod
    def read(cls, data_dir: Path, name: str) -> bytes:
        """Read a blob directly, without the gateway."""
        return (data_dir / "blobs" / name).read_bytes() if cls.server is None else cls.server.read(name)

    @classmethod
    def write(cls, data_dir: Path, name: str, data: bytes) -> None:
        """Write a blob directly, without the gateway."""
        if cls.server is not None:
            cls.server.write(name, data)
        else:
            (data_dir / "blobs" / name).write_bytes(data)

    @classmethod
    def remove(cls, data_dir: Path, name: str) -> None:
        """Remove a blob directly, without the gateway."""
        if cls.server is not None:
            cls.server.remove(name)
        else:
            (data_dir / "blobs" / name).unlink()
