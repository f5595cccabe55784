"""Reads a create of OpenRouter's batches by way of a file, and checks what is refused at once (native-lanes 2.13)."""

from __future__ import annotations

import asyncio
import mmap
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall
from batchgate.providers.simulator.batches.downloads import CHUNK, write_body
from batchgate.providers.simulator.batches.world import BatchWorld

MAX_ROWS: Final = 5_000
MAX_BYTES: Final = 200_000_000
ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/embeddings"})


class _Request(Struct):
    custom_id: str
    body: dict[str, Any]


class CreateBatch(Struct, frozen=True):
    """The body of a create, without its requests, which are lines of a file by now."""

    endpoint: str
    model: str
    custom_ids: list[str]


async def read_create(call: BatchCall, world: BatchWorld, rows_path: Path) -> CreateBatch:
    """Write the requests to a file, a line each, and return the rest."""
    max_bytes = world.settings.max_bytes or MAX_BYTES
    body_path = world.new_path("body.json")
    size = await write_body(call.request.content.iter_chunked(CHUNK), body_path, max_bytes)
    if size > max_bytes:
        raise RefusedError("request_too_large", "The request body is too large")
    if size == 0:
        raise RefusedError("invalid_request_error", "The request body is empty")
    return await asyncio.to_thread(_split, body_path, rows_path, world.settings.max_rows or MAX_ROWS)


def _split(body_path: Path, rows_path: Path, max_rows: int) -> CreateBatch:
    with body_path.open("rb") as file:
        body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        endpoint, model = (msgspec.json.decode(fields[name], type=str) for name in ("endpoint", "model"))
        requests = msgspec.json.decode(fields["requests"], type=list[_Request])
    except KeyError as error:
        raise _invalid(f"{error.args[0]}: required") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from error
    _check([*fields], endpoint, model, requests)
    if not 1 <= len(requests) <= max_rows:
        raise _invalid(f"requests: must have from 1 to {max_rows} elements, not {len(requests)}")
    with rows_path.open("wb") as rows:
        rows.writelines(msgspec.json.encode(request) + b"\n" for request in requests)
    return CreateBatch(endpoint, model, [request.custom_id for request in requests])


def _check(fields: list[str], endpoint: str, model: str, requests: list[_Request]) -> None:
    """Refuse what the stream of the body shows: ``endpoint`` and ``model`` are needed before the requests."""
    place = fields.index("requests")
    if {"endpoint", "model"} & set(fields[place:]):
        raise _invalid("endpoint and model must come before requests")
    if endpoint not in ENDPOINTS:
        raise _invalid(f"endpoint: {endpoint!r} is not supported")
    seen: set[str] = set()
    for request in requests:
        if request.body.get("model", model) != model:
            raise _invalid("Each batch request body model must match the top-level model.")
        if request.custom_id in seen:
            raise RefusedError("invalid_request_error", f"Duplicate custom_id {request.custom_id}", status=422)
        seen.add(request.custom_id)


def _invalid(message: str) -> RefusedError:
    return RefusedError("invalid_request_error", message)
