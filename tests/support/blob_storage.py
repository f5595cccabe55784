"""Where the gateways of a test keep bodies: in their data folders, or in a bucket of a server with S3's protocol.

A module whose tests are to pass on both says ``pytestmark = ON_BOTH``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.object_server import ObjectServer

ON_FOLDER_AND_BUCKET: Final = pytest.mark.parametrize("blob_storage", ["folder", "bucket"], indirect=True)


class BlobStorage:
    """The place for bodies of the test that runs."""

    server: ObjectServer | None = None
    """The server, if they are in a bucket."""

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Make the settings of a gateway that keeps them there."""
        return {} if cls.server is None else {"blob_url": cls.server.blob_url, "storage_options": cls.server.options}

    @classmethod
    def names(cls, data_dir: Path) -> list[str]:
        """Name the blobs that are there."""
        if cls.server is not None:
            return cls.server.names()
        folder = data_dir / "blobs"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    @classmethod
    def read(cls, data_dir: Path, name: str) -> bytes:
        """Read a blob past the gateway."""
        return (data_dir / "blobs" / name).read_bytes() if cls.server is None else cls.server.read(name)

    @classmethod
    def write(cls, data_dir: Path, name: str, data: bytes) -> None:
        """Write a blob past the gateway."""
        if cls.server is not None:
            cls.server.write(name, data)
        else:
            (data_dir / "blobs" / name).write_bytes(data)
