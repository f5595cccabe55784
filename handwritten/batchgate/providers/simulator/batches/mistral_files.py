"""Mistral's files API: an upload is checked line by line, and refused as a whole (native-lanes 2.7)."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, status_of
from batchgate.providers.simulator.batches.mistral_rows import faults_of_file
from batchgate.providers.simulator.batches.provider_files import ProviderFiles
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld

MISTRAL: Final = "mistral"
MAX_BYTES: Final = 512_000_000


class InvalidFileError(RefusedError):
    """The refusal of a file, with the faults of its lines."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        super().__init__("invalid_request_error", "Invalid file format.", status=422)
        self.faults: Final = faults


def mistral_error(refusal: RefusedError, _request_id: str) -> web.Response:
    """Return a refusal in Mistral's form."""
    content: dict[str, object] = {"detail": refusal.message}
    if refusal.kind == "authentication_error":
        content = {"detail": "Invalid API Key"}
    elif isinstance(refusal, InvalidFileError):
        content["errors"] = refusal.faults
    return json_response(content, status_of(refusal), refusal.headers)


class MistralFiles:
    """The files API."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self.files: Final = ProviderFiles(world, MISTRAL, MAX_BYTES, _not_found)

    async def upload(self, call: BatchCall) -> web.StreamResponse:
        """Check and store a file."""
        file = await self.files.receive(call, new_uuid(self._world))
        faults = await asyncio.to_thread(faults_of_file, file.path)
        if faults:
            raise InvalidFileError(faults)
        self.files.add(file)
        return json_response(await _object(file))

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of the files whose name has the text that is searched for."""
        query = call.request.query
        number, size = int(query.get("page", "0")), int(query.get("page_size", "100"))
        found = [file for file in self.files.all(call) if query.get("search", "") in file.filename]
        files = [await _object(file) for file in found[number * size : (number + 1) * size]]
        return json_response({"data": files, "object": "list", "total": len(found)})

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a file."""
        return json_response(await _object(self.files.existing(call)) | {"deleted": False})

    async def content(self, call: BatchCall) -> web.StreamResponse:
        """Return the content of a file."""
        return await self.files.send(call)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a file."""
        return json_response({"id": self.files.delete(call).id, "object": "file", "deleted": True})


def new_uuid(world: BatchWorld) -> str:
    """Return a new id of Mistral."""
    return str(UUID(world.new_token(32)))


def _not_found(file_id: str) -> RefusedError:
    return RefusedError("not_found_error", f"File {file_id} not found")


async def _object(file: StoredFile) -> dict[str, object]:
    is_input = file.purpose == "batch"
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "filename": file.filename,
        "purpose": "batch",
        "sample_type": "batch_request" if is_input else "batch_result",
        "num_lines": await asyncio.to_thread(_lines, file),
        "source": "upload" if is_input else "mistral",
        "mimetype": "application/jsonl",
        "expires_at": None,
    }


def _lines(file: StoredFile) -> int:
    with file.path.open("rb") as lines:
        return sum(1 for _ in lines)
