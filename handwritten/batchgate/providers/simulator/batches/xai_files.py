"""xAI's files API (native-lanes 2.11)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response
from batchgate.providers.simulator.batches.provider_files import ProviderFiles
from batchgate.providers.simulator.batches.world import BatchWorld

XAI: Final = "xai"
MAX_BYTES: Final = 200_000_000


class XAIFiles:
    """The files API."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self.files: Final = ProviderFiles(world, XAI, MAX_BYTES, _not_found, purpose_required=False)

    async def upload(self, call: BatchCall) -> web.StreamResponse:
        """Store a file."""
        file = await self.files.receive(call, f"file_{self._world.new_token(32)}")
        self.files.add(file)
        return json_response(
            {
                "id": file.id,
                "object": "file",
                "bytes": file.size,
                "created_at": int(file.created),
                "expires_at": None if file.expires is None else int(file.expires),
                "filename": file.filename,
                "purpose": file.purpose,
            }
        )

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a file."""
        return json_response({"id": self.files.delete(call).id, "object": "file", "deleted": True})


def _not_found(file_id: str) -> RefusedError:
    return RefusedError("not_found_error", f"File {file_id} not found")
