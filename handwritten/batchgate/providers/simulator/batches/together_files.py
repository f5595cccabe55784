"""Together's files API with both protocols of an upload (native-lanes 2.9, 7.1).

A raw client sends the file in one form. The SDKs announce it, get a redirect to a signed URL, put the bytes there, and
ask for the file to be processed.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from aiohttp import BodyPartReader, web
from msgspec import structs

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response
from batchgate.providers.simulator.batches.downloads import CHUNK, write_body
from batchgate.providers.simulator.batches.provider_files import ProviderFiles
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld

TOGETHER: Final = "together"
MAX_BYTES: Final = 100_000_000


class TogetherFiles:
    """The files API."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self.files: Final = ProviderFiles(world, TOGETHER, MAX_BYTES, _not_found)
        self._announced: dict[str, StoredFile] = {}
        """Files whose bytes are awaited, by the token of their signed URL."""

    async def upload(self, call: BatchCall) -> web.StreamResponse:
        """Store a file from one form."""
        file = await self.files.receive(call, self._new_id())
        self.files.add(file)
        return json_response(_object(file))

    async def announce(self, call: BatchCall) -> web.StreamResponse:
        """Read a form without a file, and redirect to where its bytes are to be put."""
        fields = await _fields(call.request)
        if missing := {"purpose", "file_name", "file_type", "checksum"} - fields.keys():
            raise RefusedError("invalid_request_error", f"Missing fields: {', '.join(sorted(missing))}")
        token = self._world.new_token()
        self._announced[token] = StoredFile(
            id=self._new_id(),
            provider=TOGETHER,
            owner=call.owner,
            filename=fields["file_name"],
            purpose=fields["purpose"],
            size=0,
            created=call.now,
            expires=None,
            path=self._world.new_path("input.jsonl"),
        )
        url = call.request.url.with_path(f"/{TOGETHER}/storage/{token}").with_query(None)
        headers = {"location": str(url), "x-together-file-id": self._announced[token].id}
        return web.Response(status=302, headers=headers)

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Store the bytes of an announced file; the URL is signed, so it needs no key."""
        file = self._announced.pop(request.match_info["token"], None)
        if file is None:
            return web.Response(status=403, text="AccessDenied")
        size = await write_body(request.content.iter_chunked(CHUNK), file.path, MAX_BYTES)
        self.files.add(structs.replace(file, size=size))
        return web.Response()

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a file; ``preprocess`` of an upload answers the same."""
        return json_response(_object(self.files.existing(call)))

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return all files."""
        return json_response({"data": [_object(file) for file in self.files.all(call)]})

    async def content(self, call: BatchCall) -> web.StreamResponse:
        """Return the content of a file."""
        return await self.files.send(call)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a file."""
        return json_response({"id": self.files.delete(call).id, "deleted": True})

    def _new_id(self) -> str:
        return f"file-{UUID(self._world.new_token(32))}"


async def _fields(request: web.Request) -> dict[str, str]:
    if request.content_type != "multipart/form-data":
        raise RefusedError("invalid_request_error", "Content-Type must be multipart/form-data")
    return {
        part.name: await part.text()
        async for part in await request.multipart()
        if isinstance(part, BodyPartReader) and part.name is not None
    }


def _not_found(file_id: str) -> RefusedError:
    return RefusedError("not_found_error", f"File {file_id} not found")


def _object(file: StoredFile) -> dict[str, object]:
    return {
        "id": file.id,
        "object": "file",
        "created_at": int(file.created),
        "purpose": "batch-api",
        "filename": file.filename,
        "bytes": file.size,
        "LineCount": 0,
        "Processed": True,
        "processing_status": "COMPLETED",
        "FileType": "jsonl",
    }
