"""Reads a create of the Message Batches API, up to hundreds of megabytes, by way of a file (batch-apis 1.2)."""

from __future__ import annotations

import asyncio
import mmap
import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall
from batchgate.providers.simulator.batches.downloads import CHUNK, write_body
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.world import BatchWorld

MAX_ROWS: Final = 100_000
MAX_BYTES: Final = 256_000_000
MAX_ID_LENGTH: Final = 64
ID_PATTERN: Final = "^[a-zA-Z0-9_-]{1,64}$"


class _Request(Struct, forbid_unknown_fields=True):
    params: msgspec.Raw
    custom_id: str | UnsetType = UNSET


class _Create(Struct, forbid_unknown_fields=True):
    requests: list[_Request]


_DECODER: Final = msgspec.json.Decoder(_Create)


async def read_create(call: BatchCall, world: BatchWorld, rows_path: Path) -> list[str]:
    """Write the ``params`` of all rows to a file, a line each, and return their ids."""
    max_bytes = world.settings.max_bytes or MAX_BYTES
    body_path = world.new_path("body.json")
    size = await write_body(call.request.content.iter_chunked(CHUNK), body_path, max_bytes)
    if size > max_bytes:
        raise RefusedError("request_too_large", "Request exceeds the maximum size")
    if size == 0:
        raise RefusedError("invalid_request_error", "The request body is not valid JSON: it is empty")
    return await asyncio.to_thread(_split, body_path, rows_path, world.settings)


def _split(body_path: Path, rows_path: Path, settings: BatchSettings) -> list[str]:
    """Read the body through the page cache, so that it is not in the memory of the process."""
    with body_path.open("rb") as file:
        body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with the last row that refers to it
    body_path.unlink()
    requests = _decode(body)
    ids = _checked_ids(requests, settings.max_rows or MAX_ROWS)
    with rows_path.open("wb") as rows:
        rows.writelines(_one_line(request.params) for request in requests)
    return ids


def _decode(body: mmap.mmap) -> list[_Request]:
    try:
        return _DECODER.decode(body).requests
    except msgspec.ValidationError as error:
        raise RefusedError("invalid_request_error", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("invalid_request_error", f"The request body is not valid JSON: {error}") from error


def _one_line(params: msgspec.Raw) -> bytes:
    content = memoryview(params).tobytes()
    return (msgspec.json.format(content, indent=-1) if b"\n" in content else content) + b"\n"


def _checked_ids(requests: list[_Request], max_rows: int) -> list[str]:
    """Return the ids of all rows; raises `RefusedError` for the first wrong one, worded as in native-lanes 10.3."""
    if not requests:
        raise _invalid("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > max_rows:
        raise _invalid(f"requests: List should have at most {max_rows} items after validation, not {len(requests)}")
    ids: dict[str, None] = {}
    for index, request in enumerate(requests):
        custom_id = _checked_id(f"requests.{index}.custom_id", request.custom_id)
        if custom_id in ids:
            raise _invalid(
                f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {custom_id}"
            )
        ids[custom_id] = None
    return [*ids]


def _checked_id(where: str, custom_id: str | UnsetType) -> str:
    if custom_id is UNSET:
        raise _invalid(f"{where}: Field required")
    if len(custom_id) > MAX_ID_LENGTH:
        raise _invalid(f"{where}: String should have at most {MAX_ID_LENGTH} characters")
    if re.fullmatch(ID_PATTERN, custom_id) is None or custom_id.endswith("\n"):
        raise _invalid(f"{where}: String should match pattern '{ID_PATTERN}'")
    return custom_id


def _invalid(message: str) -> RefusedError:
    return RefusedError("invalid_request_error", message)
