"""Gemini's files API: resumable uploads, get, list, delete, download (more-dialects 4.1, 4.3; native-lanes 2.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, read_json
from batchgate.providers.simulator.batches.downloads import CHUNK, send_results
from batchgate.providers.simulator.batches.gemini_objects import GEMINI, file_object, results_file, unknown
from batchgate.providers.simulator.batches.gemini_pages import page_of
from batchgate.providers.simulator.batches.stored_files import StoredFile
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.gemini_dialects import rpc_error

GRANULARITY: Final = 256 * 1024
"""Every piece of an upload but the last has a multiple of so many bytes."""
MAX_BYTES: Final = 2_000_000_000
LIFE: Final = 48 * 3600.0
_NAME_LENGTH: Final = 12


class _FileFields(Struct):
    displayName: str | None = None  # noqa: N815 - Gemini's name
    display_name: str | None = None
    mimeType: str | None = None  # noqa: N815 - Gemini's name
    mime_type: str | None = None


class _Start(Struct):
    file: _FileFields = msgspec.field(default_factory=_FileFields)


_START: Final = msgspec.json.Decoder(_Start)


class _Session(Struct):
    """An upload that has been started; its secret is the right to go on with it."""

    owner: str
    path: Path
    name: str
    media_type: str
    received: int = 0


class GeminiFiles:
    """The files of one simulated Gemini."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self._sessions: dict[str, _Session] = {}

    def find(self, call: BatchCall, name: str) -> StoredFile | None:
        """Return an uploaded file of the caller, or None."""
        return self._world.files.find(GEMINI, call.owner, name, call.now)

    def is_pending(self, file: StoredFile, now: float) -> bool:
        """Return whether an uploaded file is not usable yet."""
        return now - file.created < self._world.settings.file_pending

    async def start(self, call: BatchCall) -> web.StreamResponse:
        """Start a resumable upload."""
        headers = call.request.headers
        if headers.get("x-goog-upload-protocol") != "resumable" or headers.get("x-goog-upload-command") != "start":
            raise RefusedError("invalid_request_error", "The simulator takes resumable uploads only.")
        fields = (await read_json(call.request, _START)).file
        secret = self._world.new_token(32)
        self._sessions[secret] = _Session(
            owner=call.owner,
            path=self._world.new_path("input.jsonl"),
            name=fields.displayName or fields.display_name or "",
            media_type=fields.mimeType or fields.mime_type or "application/octet-stream",
        )
        url = call.request.url.with_query({"upload_id": secret, "upload_protocol": "resumable"})
        answer = {
            "x-goog-upload-url": str(url),
            "x-goog-upload-status": "active",
            "x-goog-upload-chunk-granularity": str(GRANULARITY),
        }
        return json_response({}, headers=answer)

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Take a piece of an upload, by the secret in its URL instead of a key."""
        try:
            return await self._receive(request)
        except RefusedError as refusal:
            status, body = rpc_error(refusal)
            return web.Response(status=status, body=body, content_type="application/json")

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        session = self._sessions.get(request.query["upload_id"])
        if session is None:
            raise unknown("the upload")
        commands = {part.strip() for part in request.headers.get("x-goog-upload-command", "").split(",")}
        if not commands <= {"upload", "finalize"} or not commands:
            raise RefusedError("invalid_request_error", f"X-Goog-Upload-Command: {sorted(commands)} is not known")
        if request.headers.get("x-goog-upload-offset") != str(session.received):
            raise RefusedError("invalid_request_error", f"X-Goog-Upload-Offset should be {session.received}")
        size = await _append(request, session.path)
        session.received += size
        if session.received > (self._world.settings.max_bytes or MAX_BYTES):
            raise RefusedError("invalid_request_error", "File is too large.")
        if "finalize" not in commands:
            if size % GRANULARITY:
                raise RefusedError("invalid_request_error", f"A piece should have a multiple of {GRANULARITY} bytes.")
            return json_response({}, headers={"x-goog-upload-status": "active"})
        del self._sessions[request.query["upload_id"]]
        return await self._finish(request, session)

    async def _finish(self, request: web.Request, session: _Session) -> web.Response:
        now = await self._world.advance()
        file = StoredFile(
            id=f"files/{self._world.new_token(_NAME_LENGTH)}",
            provider=GEMINI,
            owner=session.owner,
            filename=session.name,
            purpose=session.media_type,
            size=session.received,
            created=now,
            expires=now + LIFE,
            path=session.path,
        )
        self._world.files.add(file)
        shown = {"file": self._shown(request, file, now)}
        return json_response(shown, headers={"x-goog-upload-status": "final"})

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return an uploaded file."""
        name = _name(call)
        file = self.find(call, name)
        if file is None:
            raise unknown(name)
        return json_response(self._shown(call.request, file, call.now))

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return a page of uploaded files, newest first."""
        files = self._world.files.newest_first(GEMINI, call.owner, call.now)
        shown, token = page_of(call, files)
        page: dict[str, object] = {"files": [self._shown(call.request, file, call.now) for file in shown]}
        return json_response(page | ({"nextPageToken": token} if token else {}))

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete an uploaded file; one that is gone is a 403."""
        name = _name(call)
        file = self.find(call, name)
        if file is None:
            message = f"You do not have permission to access the File {name} or it may not exist."
            raise RefusedError("permission_error", message)
        self._world.files.delete(file)
        return json_response({})

    async def download(self, call: BatchCall) -> web.StreamResponse:
        """Return the content of a result file; uploaded files cannot be downloaded."""
        name = _name(call)
        jobs = self._world.jobs.newest_first(GEMINI, call.owner, call.now)
        job = next((job for job in jobs if results_file(job) == name), None)
        if job is None or job.results.output is None:
            raise unknown(name)
        headers = {"content-type": "application/octet-stream"}
        return await send_results(self._world, GEMINI, call.request, job.results.output, headers)

    def _shown(self, request: web.Request, file: StoredFile, now: float) -> dict[str, object]:
        base_url = f"{request.url.origin()}/{GEMINI}"
        return file_object(file, base_url, is_pending=self.is_pending(file, now))


def _name(call: BatchCall) -> str:
    return f"files/{call.request.match_info['name']}"


async def _append(request: web.Request, path: Path) -> int:
    size = 0
    with path.open("ab") as file:
        async for chunk in request.content.iter_chunked(CHUNK):
            size += file.write(chunk)
    return size
