"""The files of one provider's files API, for the providers whose files differ from OpenAI's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall
from batchgate.providers.simulator.batches.downloads import send_results
from batchgate.providers.simulator.batches.openai_uploads import Upload, read_upload
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld


class ProviderFiles:
    """Stores, finds, sends and deletes files; ``not_found`` makes the provider's refusal of an unknown id."""

    def __init__(
        self,
        world: BatchWorld,
        provider: str,
        max_bytes: int,
        not_found: Callable[[str], RefusedError],
        *,
        purpose_required: bool = True,
    ) -> None:
        self._world: Final = world
        self._provider: Final = provider
        self._max_bytes: Final = max_bytes
        self._not_found: Final = not_found
        self._purpose_required: Final = purpose_required

    async def receive(self, call: BatchCall, new_id: str) -> StoredFile:
        """Read a form and return its file, which is not stored yet."""
        path = self._world.new_path("input.jsonl")
        max_bytes = self._world.settings.max_bytes or self._max_bytes
        upload: Upload = await read_upload(call.request, path, max_bytes, purpose_required=self._purpose_required)
        if upload.size > max_bytes:
            raise RefusedError("request_too_large", f"The file has more than {max_bytes} bytes.")
        return StoredFile(
            id=new_id,
            provider=self._provider,
            owner=call.owner,
            filename=upload.filename or "",
            purpose=upload.purpose or "",
            size=upload.size,
            created=call.now,
            expires=None if upload.expires_after is None else call.now + upload.expires_after,
            path=path,
        )

    def add(self, file: StoredFile) -> None:
        """Store a file."""
        self._world.files.add(file)

    def find(self, call: BatchCall, file_id: str) -> StoredFile | None:
        """Return a file of the caller, or None."""
        return self._world.files.find(self._provider, call.owner, file_id, call.now)

    def all(self, call: BatchCall) -> list[StoredFile]:
        """Return all files of the caller, newest first."""
        return self._world.files.newest_first(self._provider, call.owner, call.now)

    def existing(self, call: BatchCall) -> StoredFile:
        """Return the file that the path names; raises the provider's refusal if there is none."""
        file_id = call.request.match_info["file_id"]
        file = self.find(call, file_id)
        if file is None:
            raise self._not_found(file_id)
        return file

    def delete(self, call: BatchCall) -> StoredFile:
        """Delete the file that the path names, and return it."""
        file = self.existing(call)
        self._world.files.delete(file)
        return file

    async def send(self, call: BatchCall, content_type: str = "application/octet-stream") -> web.StreamResponse:
        """Send the content of the file that the path names."""
        file = self.existing(call)
        return await send_results(self._world, self._provider, call.request, file.path, {"content-type": content_type})
