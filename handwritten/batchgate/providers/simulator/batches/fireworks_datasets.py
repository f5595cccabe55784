"""Fireworks' accounts and datasets: create, upload, download by signed URLs, delete (native-lanes 2.10)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import BodyPartReader, web
from msgspec import Struct, field

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, Handler, json_response, read_json, status_of
from batchgate.providers.simulator.batches.downloads import send_results, write_body
from batchgate.providers.simulator.batches.openai_uploads import part_chunks
from batchgate.providers.simulator.batches.world import BatchWorld

FIREWORKS: Final = "fireworks"
ACCOUNT: Final = "accounts/simulated"
"""The one account that every key belongs to."""
MAX_BYTES: Final = 150_000_000
URL_LIFE: Final = 599.0
"""Seconds for which a signed URL is valid."""
_GRPC_CODES: Final = {400: 3, 404: 5, 409: 6}


class Dataset(Struct, kw_only=True):
    """A dataset: it is ready some seconds after its upload."""

    id: str
    created: float
    examples: str = "0"
    uploaded: float | None = None
    files: dict[str, Path] = field(default_factory=dict)

    def is_ready(self, now: float, pending: float) -> bool:
        """Return whether it can be used."""
        return self.uploaded is not None and now - self.uploaded >= pending


class _Given(Struct, frozen=True, kw_only=True):
    user_uploaded: dict[str, Any] | None = field(default=None, name="userUploaded")
    example_count: str | None = field(default=None, name="exampleCount")


class _Create(Struct, frozen=True):
    id: str = field(name="datasetId")
    dataset: _Given


def fireworks_error(refusal: RefusedError, request_id: str) -> web.Response:
    """Return a refusal in the style of gRPC, but that of a wrong key in OpenAI's form."""
    status = status_of(refusal)
    if status in {401, 403}:
        error = {"message": "The API key you provided is invalid.", "param": None, "code": "UNAUTHORIZED"}
        return json_response({"error": error | {"type": "error"}, "request_id": request_id}, 403)
    content = {"code": _GRPC_CODES.get(status, 13), "message": refusal.message, "details": []}
    return json_response(content, status, refusal.headers)


def of_account(handler: Handler) -> Handler:
    """Return a handler that refuses calls for any other account."""

    async def answer(call: BatchCall) -> web.StreamResponse:
        if call.request.match_info["account"] != ACCOUNT.rpartition("/")[2]:
            raise RefusedError("permission_error", "Forbidden")
        return await handler(call)

    return answer


class FireworksDatasets:
    """The datasets of all keys."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._signed: dict[str, tuple[float, Path]] = {}
        self._creates = msgspec.json.Decoder(_Create)

    def add(self, owner: str, dataset: Dataset) -> None:
        """Store a dataset."""
        self._datasets[owner, dataset.id] = dataset

    def ready(self, call: BatchCall, name: str) -> Dataset:
        """Return a dataset by its name or id; raises `RefusedError` if it cannot be used."""
        dataset = self._datasets.get((call.owner, name.rpartition("/")[2]))
        if dataset is None:
            raise RefusedError("not_found_error", "resource not found")
        if not dataset.is_ready(call.now, self._world.settings.file_pending):
            raise RefusedError("invalid_request_error", f"dataset {dataset.id} is not ready")
        return dataset

    async def accounts(self, _call: BatchCall) -> web.StreamResponse:
        """Return the accounts of a key."""
        account = {"name": ACCOUNT, "email": "simulated@example.com", "state": "READY"}
        return json_response({"accounts": [account], "nextPageToken": "", "totalSize": 1})

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Create an empty dataset; the number of its examples is required, but never checked."""
        create = await read_json(call.request, self._creates)
        if create.dataset.example_count is None:
            raise RefusedError("invalid_request_error", "example_count is required for uploaded datasets")
        if (call.owner, create.id) in self._datasets:
            raise RefusedError("conflict_error", f"dataset {create.id} already exists")
        dataset = Dataset(id=create.id, created=call.now, examples=create.dataset.example_count)
        self.add(call.owner, dataset)
        return self._shown(call, dataset)

    async def upload(self, call: BatchCall) -> web.StreamResponse:
        """Store the file of a form in a dataset."""
        dataset, max_bytes = self._existing(call), self._world.settings.max_bytes or MAX_BYTES
        path = self._world.new_path("dataset.jsonl")
        async for part in await call.request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "file":
                size = await write_body(part_chunks(part), path, max_bytes)
                break
        else:
            raise RefusedError("invalid_request_error", "file is required")
        if size > max_bytes:
            raise RefusedError("request_too_large", f"The file has more than {max_bytes} bytes.")
        dataset.files, dataset.uploaded = {part.filename or "file.jsonl": path}, call.now
        return json_response(
            {
                "bytes": size,
                "created_at": int(call.now),
                "filename": part.filename,
                "id": dataset.id,
                "object": "file",
                "purpose": "dataset",
            }
        )

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a dataset."""
        return self._shown(call, self._existing(call))

    async def download(self, call: BatchCall) -> web.StreamResponse:
        """Return a signed URL for each file; a call with a body is refused."""
        if call.request.body_exists:
            raise RefusedError("invalid_request_error", "Bad Request")
        dataset = self._existing(call)
        urls = {}
        for name, path in dataset.files.items():
            token = self._world.new_token()
            self._signed[token] = (call.now + URL_LIFE, path)
            url = call.request.url.with_path(f"/{FIREWORKS}/storage/{token}").with_query(None)
            urls[f"dataset/{dataset.id}/{name}"] = str(url)
        return json_response({"filenameToSignedUrls": urls})

    async def stored(self, request: web.Request) -> web.StreamResponse:
        """Return the file of a signed URL, which must not get a key."""
        expires, path = self._signed.get(request.match_info["token"], (0.0, None))
        if path is None or self._world.clock.now() > expires or "authorization" in request.headers:
            return web.Response(status=403, text="ExpiredToken")
        try:
            return await send_results(self._world, FIREWORKS, request, path, {"content-type": "text/plain"})
        except RefusedError as refusal:
            return web.Response(status=refusal.status or 500, text=refusal.message)

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a dataset."""
        del self._datasets[call.owner, self._existing(call).id]
        return json_response({})

    def _existing(self, call: BatchCall) -> Dataset:
        dataset = self._datasets.get((call.owner, call.request.match_info["dataset_id"]))
        if dataset is None:
            raise RefusedError("not_found_error", "resource not found")
        return dataset

    def _shown(self, call: BatchCall, dataset: Dataset) -> web.Response:
        is_ready = dataset.is_ready(call.now, self._world.settings.file_pending)
        return json_response(
            {
                "name": f"{ACCOUNT}/datasets/{dataset.id}",
                "createTime": rfc3339(dataset.created),
                "state": "READY" if is_ready else "UPLOADING",
                "status": {"code": "OK", "message": ""},
                "exampleCount": dataset.examples,
                "userUploaded": {},
                "format": "CHAT",
            }
        )


def rfc3339(moment: float) -> str:
    """Return a time as Fireworks writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
