"""Cohere's datasets: upload with validation, retrieval with signed URLs, delete (native-lanes 2.12)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall, json_response, status_of
from batchgate.providers.simulator.batches.cohere_rows import ENDPOINTS, kept_rows
from batchgate.providers.simulator.batches.downloads import send_results, write_body
from batchgate.providers.simulator.batches.openai_uploads import part_chunks
from batchgate.providers.simulator.batches.world import BatchWorld

COHERE: Final = "cohere"
MAX_BYTES: Final = 1_500_000_000
URL_LIFE: Final = 3600.0
"""Seconds for which a signed URL is valid."""


class Dataset(Struct, frozen=True, kw_only=True):
    """A dataset: it is validated some seconds after its upload."""

    id: str
    name: str
    kind: str
    created: float
    validated_at: float
    path: Path
    rows: int
    is_output: bool = False
    """Whether its part is a file of results."""
    error: str | None = None
    """Why its validation fails."""
    warnings: tuple[str, ...] = ()

    def status(self, now: float) -> str:
        """Return the state of the validation."""
        if now < self.validated_at:
            return "processing"
        return "validated" if self.error is None else "failed"


def cohere_error(refusal: RefusedError, request_id: str) -> web.Response:
    """Return a refusal: a message alone."""
    return json_response({"id": request_id, "message": refusal.message}, status_of(refusal), refusal.headers)


class CohereDatasets:
    """The datasets of all keys."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._signed: dict[str, tuple[float, Path]] = {}

    def add(self, owner: str, dataset: Dataset) -> None:
        """Store a dataset."""
        self._datasets[owner, dataset.id] = dataset

    def find(self, owner: str, dataset_id: str) -> Dataset | None:
        """Return a dataset of a key, or None."""
        return self._datasets.get((owner, dataset_id))

    async def create(self, call: BatchCall) -> web.StreamResponse:
        """Store the file of a form as a dataset; its name, type and kept fields are in the query."""
        query = call.request.query
        name, kind = query.get("name"), query.get("type")
        if not name or kind not in ENDPOINTS:
            raise RefusedError("invalid_request_error", f"invalid request: dataset type {kind!r} or name {name!r}")
        uploaded = await self._upload(call)
        kept = self._world.new_path("dataset.jsonl")
        rows, dropped = _keep(uploaded, kept, kind, frozenset(query.getall("keep_fields", [])))
        skips = query.get("skip_malformed_input", "false") == "true"
        dataset = Dataset(
            id=f"{name}-{self._world.new_token(6)}",
            name=name,
            kind=kind,
            created=call.now,
            validated_at=call.now + self._world.settings.file_pending,
            path=kept,
            rows=rows,
            error=_error_of(rows, dropped, skips=skips),
            warnings=tuple(f"row {number} was dropped" for number in dropped) if skips else (),
        )
        self.add(call.owner, dataset)
        return json_response({"id": dataset.id})

    async def _upload(self, call: BatchCall) -> Path:
        path, max_bytes = self._world.new_path("upload.jsonl"), self._world.settings.max_bytes or MAX_BYTES
        async for part in await call.request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "data":
                if await write_body(part_chunks(part), path, max_bytes) > max_bytes:
                    raise RefusedError("request_too_large", f"The file has more than {max_bytes} bytes.")
                return path
        raise RefusedError("invalid_request_error", "invalid request: data is required")

    async def retrieve(self, call: BatchCall) -> web.StreamResponse:
        """Return a dataset, with a new signed URL for its part."""
        return json_response({"dataset": self._shown(call, self._existing(call))})

    async def page(self, call: BatchCall) -> web.StreamResponse:
        """Return all datasets, newest first."""
        own = [dataset for (owner, _), dataset in self._datasets.items() if owner == call.owner]
        return json_response({"datasets": [self._shown(call, dataset) for dataset in reversed(own)]})

    async def delete(self, call: BatchCall) -> web.StreamResponse:
        """Delete a dataset."""
        del self._datasets[call.owner, self._existing(call).id]
        return json_response({})

    async def stored(self, request: web.Request) -> web.StreamResponse:
        """Return the file of a signed URL, which must not get a key."""
        expires, path = self._signed.get(request.match_info["token"], (0.0, None))
        if path is None or self._world.clock.now() > expires or "authorization" in request.headers:
            return web.Response(status=403, text="ExpiredToken")
        try:
            return await send_results(self._world, COHERE, request, path, {"content-type": "application/octet-stream"})
        except RefusedError as refusal:
            return web.Response(status=refusal.status or 500, text=refusal.message)

    def _existing(self, call: BatchCall) -> Dataset:
        dataset = self.find(call.owner, call.request.match_info["dataset_id"])
        if dataset is None:
            raise RefusedError("not_found_error", "dataset not found")
        return dataset

    def _shown(self, call: BatchCall, dataset: Dataset) -> dict[str, Any]:
        status = dataset.status(call.now)
        return {
            "id": dataset.id,
            "name": dataset.name,
            "created_at": rfc3339(dataset.created),
            "updated_at": rfc3339(min(call.now, dataset.validated_at)),
            "dataset_type": dataset.kind.replace("-input", "-output") if dataset.is_output else dataset.kind,
            "validation_status": status,
            "validation_error": dataset.error if status == "failed" else None,
            "validation_warnings": list(dataset.warnings),
            "preserve_fields": ["custom_id"],
            "dataset_parts": [self._part(call, dataset)] if dataset.is_output else [],
        }

    def _part(self, call: BatchCall, dataset: Dataset) -> dict[str, Any]:
        token = self._world.new_token()
        self._signed[token] = (call.now + URL_LIFE, dataset.path)
        url = call.request.url.with_path(f"/{COHERE}/storage/{token}").with_query(None)
        size = dataset.path.stat().st_size
        return {
            "id": f"{dataset.id}-0",
            "name": f"{dataset.name}.avro",
            "url": str(url),
            "index": 0,
            "size_bytes": size,
            "num_rows": dataset.rows,
        }


def _keep(uploaded: Path, kept: Path, kind: str, keep_fields: frozenset[str]) -> tuple[int, list[int]]:
    """Write the rows that are not malformed; return their number, and the numbers of the others."""
    count, dropped = 0, []
    with kept.open("wb") as file:
        for number, row in kept_rows(uploaded, kind, keep_fields):
            if row is None:
                dropped.append(number)
            else:
                count += 1
                file.write(row)
    return count, dropped


def _error_of(rows: int, dropped: list[int], *, skips: bool) -> str | None:
    if dropped and not skips:
        return f"the dataset has malformed rows: {', '.join(map(str, dropped[:10]))}"
    return None if rows else "the dataset has no valid rows"


def rfc3339(moment: float) -> str:
    """Return a time as Cohere writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
