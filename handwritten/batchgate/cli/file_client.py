"""The commands' client for uploaded files: those of every API are the same, and one list has them all."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final

from batchgate.cli.gateway_client import GatewayClient, encoded
from batchgate_api.openai import DeletedFile, FileList, FileObject

FILES: Final = "/openai/v1/files"
LARGEST_PAGE: Final = 1000


class FileClient:
    """Reads and deletes files through a `GatewayClient`."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def files(self, limit: int, filters: Mapping[str, str | None]) -> AsyncIterator[FileObject]:
        """Read files, newest first."""
        query = {"order": "desc"} | {name: value for name, value in filters.items() if value is not None}
        after: dict[str, str] = {}
        while limit > 0:
            asked = query | after | {"limit": str(min(limit, LARGEST_PAGE))}
            page = await self._client.ask("GET", FILES, FileList, query=asked)
            for file in page.data:
                yield file
            limit -= len(page.data)
            if not page.has_more or page.last_id is None:
                return
            after = {"after": page.last_id}

    async def file(self, file_id: str) -> FileObject:
        """Read what is known of a file."""
        return await self._client.ask("GET", f"{FILES}/{encoded(file_id)}", FileObject)

    def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Download a file in pieces."""
        return self._client.download(f"{FILES}/{encoded(file_id)}/content")

    async def delete(self, file_id: str) -> DeletedFile:
        """Delete a file and its content."""
        return await self._client.ask("DELETE", f"{FILES}/{encoded(file_id)}", DeletedFile)
