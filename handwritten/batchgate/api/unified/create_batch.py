"""Creates a batch from a body that names a file or contains the requests, on the unified or OpenAI surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web
from msgspec import UNSET, UnsetType

from batchgate.api.context import BATCHES
from batchgate.api.create_body import MAX_BODY, CreateReader
from batchgate.api.early_quotas import check_quotas_early
from batchgate.api.ignored_fields import note_ignored, sent_fields
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.unified.create_body import BatchFormat, F
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.batch_endpoint import KINDS, BatchEndpoint
from batchgate.engine.model.completion_window import DEFAULT_WINDOW
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.provider_call import OWN_KINDS, RowKind
from batchgate.engine.model.submission import Submission
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD
from batchgate_api.gateway import UnifiedBatchEndpoint, UnifiedBatchRequest

READ_SIZE: Final = 16 * 1024
"""Bytes of a body that are read before looking for its first request."""


async def create_batch(
    request: web.Request,
    form: BatchFormat[F],
    submission: Callable[[], Submission],
    *,
    check_head: Callable[[], None],
    check_file: Callable[[], None],
) -> Batch:
    """Create a batch; ``submission`` is called when the fields of ``form`` have been read.

    ``check_head`` is called before the requests have arrived, with the fields before them, and ``check_file`` for a
    body without requests. Both raise `RefusedError`.
    """
    reader = CreateReader(body_decoder(request), form)
    await check_quotas_early(request)
    body = pieces(request, MAX_BODY)
    if await requests_begin(reader, body):
        check_head()
        batch = await request.app[BATCHES].create(submission, rest_of(body), reader)
    else:
        form.read_without_requests(reader.without_requests())
        check_file()
        check_file_endpoint(form.endpoint)
        batch = await request.app[BATCHES].create_from_file(submission())
    note_ignored(request, sent_fields(form.fields))
    return batch


def kind_of(endpoint: UnifiedBatchEndpoint) -> RowKind:
    """Return the kind of the requests for an endpoint."""
    return "messages" if endpoint == "/v1/messages" else KINDS[endpoint]


def own_endpoint(endpoint: UnifiedBatchEndpoint) -> BatchEndpoint | UnsetType:
    """Return the option for an endpoint, which is unset for kinds with one endpoint."""
    return endpoint if endpoint != "/v1/messages" and KINDS[endpoint] in OWN_KINDS else UNSET


def window_option(window: str | UnsetType) -> str | UnsetType:
    """Return the option for a completion window, which is unset for the default."""
    return UNSET if window == DEFAULT_WINDOW else window


async def requests_begin(reader: CreateReader[UnifiedBatchRequest], body: AsyncIterator[bytes]) -> bool:
    """Read a body up to its first request, and return whether there is one."""
    held = b""
    async for data in body:
        held += data
        if len(held) >= READ_SIZE:
            if await _begin(reader, held):
                return True
            held = b""
    return await _begin(reader, held)


async def _begin(reader: CreateReader[UnifiedBatchRequest], data: bytes) -> bool:
    """Pass bytes to a reader, in a thread if they may take long."""
    if reader.is_compressed or len(data) >= THREAD_THRESHOLD:
        return await asyncio.to_thread(reader.begin, data)
    return reader.begin(data)


async def rest_of(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield an empty piece, then the rest of a body, for a reader that holds the beginning already."""
    yield b""
    async for data in body:
        yield data


def check_file_endpoint(endpoint: UnifiedBatchEndpoint) -> None:
    """Raise `RefusedError` for an endpoint to which no file has requests."""
    if endpoint == MESSAGES:
        message = f"endpoint: a file has no requests for {MESSAGES}, only for {', '.join(KINDS)}; send them in requests"
        raise RefusedError("invalid_request_error", message, param="endpoint")
