"""The OpenAI-shaped files API: upload, retrieve, list, content, delete (native-lanes 2.1, batch-apis 4.2)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_limit
from batchgate.providers.simulator.batches.downloads import send_results
from batchgate.providers.simulator.batches.openai_errors import invalid, not_found
from batchgate.providers.simulator.batches.openai_objects import file_object
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.openai_uploads import read_upload
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld

MAX_PAGE: Final = 10_000


class OpenAIFiles:
    """The files API of one provider."""

    def __init__(self, world: BatchWorld, provider: OpenAIProvider) -> None:
        self._world = world
        self._provider = provider
        self._redirects: dict[str, StoredFile] = {}

    def find(self, call: BatchCall, file_id: str) -> StoredFile | None:
        """Return a file of the caller, or None."""
        return self._world.files.find(self._provider.name, call.owner, file_id, call.now)

    def is_pending(self, file: StoredFile, now: float) -> bool:
        """Return whether an uploaded file is not usable yet (native-lanes 2.2)."""
        wait = self._world.settings.file_pending if self._provider.files_pending_first else 0
        return file.purpose != "batch_output" and now - file.created < wait

    async def upload(self, call: BatchCall) -> web.StreamResponse:
        """Store a file; its lines are not checked."""
        path = self._world.new_path("input.jsonl")
        max_bytes = self._world.settings.max_bytes or self._provider.max_bytes
        upload = await read_upload(call.request, path, max_bytes)
        filename, purpose = upload.filename or "", upload.purpose or ""
        if purpose == "batch" and not filename.endswith(".jsonl"):
            raise invalid("Invalid file format for Batch API. Must be .jsonl", "file")
        if upload.size > max_bytes:
            raise invalid("File is too large.", "file")
        life = self._provider.file_life if upload.expires_after is None else upload.expires_after
        if life is None:
            self._check_number_of_files(call)
        file = StoredFile(
            id=self._provider.file_id.format(token=self._world.new_token()),
            provider=self._provider.name,
            owner=call.owner,
            filename=filename,
            purpose=purpose,
            size=upload.size,
            created=call.now,
            expires=None if life is None else call.now + life,
            path=path,
        )
        self._world.files.add(file)
        return self._shown(file, call.now)

    def _check_number_of_files(self, call: BatchCall) -> None:
        """Raise `RefusedError` if there are as many files without expiry as are allowed (native-lanes 2.2)."""
        largest = self._provider.max_files_without_expiry
        files = self._world.files.newest_first(self._provider.name, call.owner, call.now)
        if largest is not None and sum(file.expires is None for file in files) >= largest:
            raise invalid(f"The resource has {largest} files without expiry already.", code="quotaExceeded")

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a file."""
        return self._shown(self._existing(call), call.now)

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of files, newest first unless ``order`` is ``asc``."""
        query = call.request.query
        files = self._world.files.newest_first(self._provider.name, call.owner, call.now)
        files = [file for file in files if file.purpose == query.get("purpose", file.purpose)]
        if query.get("order") == "asc":
            files.reverse()
        ids = [file.id for file in files]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        limit = read_limit(call, MAX_PAGE, MAX_PAGE)
        page = files[start : start + limit]
        return json_response(
            {
                "object": "list",
                "data": [file_object(file, self._status(file, call.now)) for file in page],
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
                "has_more": len(files) > start + limit,
            }
        )

    async def content(self, call: BatchCall) -> web.StreamResponse:
        """Return the content of a file, or redirect to it."""
        file = self._existing(call)
        if not self._provider.content_redirects:
            return await self._send(call.request, file)
        token = self._world.new_token()
        self._redirects[token] = file
        url = call.request.url.with_path(f"/{self._provider.name}/storage/{token}").with_query(None)
        return web.Response(status=302, headers={"location": str(url)})

    async def stored_content(self, request: web.Request) -> web.StreamResponse:
        """Return the content that a redirect points to; it needs no key."""
        file = self._redirects.get(request.match_info["token"])
        if file is None:
            return web.Response(status=404, text="Not Found")
        try:
            return await self._send(request, file)
        except RefusedError as refusal:
            return web.Response(status=refusal.status or 500, text=refusal.message)

    async def _send(self, request: web.Request, file: StoredFile) -> web.StreamResponse:
        headers = {
            "content-type": self._provider.content_type,
            "content-disposition": f'attachment; filename="{file.filename}"',
        }
        return await send_results(self._world, self._provider.name, request, file.path, headers)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a file."""
        file_id = call.request.match_info["file_id"]
        file = self.find(call, file_id)
        if file is not None:
            self._world.files.delete(file)
        elif not self._provider.deletes_unknown_files:
            raise self._unknown(file_id)
        return json_response({"id": file_id, "object": "file", "deleted": True})

    def _existing(self, call: BatchCall) -> StoredFile:
        file_id = call.request.match_info["file_id"]
        file = self.find(call, file_id)
        if file is None:
            raise self._unknown(file_id)
        return file

    def _unknown(self, file_id: str) -> RefusedError:
        if self._provider.envelope == "detail":
            return RefusedError("not_found_error", "file not found")
        return not_found("File", file_id)

    def _status(self, file: StoredFile, now: float) -> str:
        return "pending" if self.is_pending(file, now) else "processed"

    def _shown(self, file: StoredFile, now: float) -> web.Response:
        return json_response(file_object(file, self._status(file, now)))
