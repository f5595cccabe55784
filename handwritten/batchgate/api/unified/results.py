"""All results of a batch as one JSON object, generated while it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from batchgate.api.unified.extra_fields import ExtraFields
from batchgate.engine.model.batch import Batch
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.results.content_renderer import RenderedContent, complete_lines
from batchgate_api import gateway, openai_rows

_LINE: Final = msgspec.json.Decoder(openai_rows.BatchOutputLine)
_ENCODER: Final = msgspec.json.Encoder()


class _Head(Struct):
    """The fields before the results."""

    batch_id: str


class _Tail(Struct):
    """The fields after the results."""

    has_more: bool
    extra_fields: gateway.ExtraFields


def results_object(batch: Batch, lines: RenderedContent, provider: str, extra: ExtraFields) -> RenderedContent:
    """Convert the result lines of a batch, in its own dialect, to a `gateway.UnifiedBatchResults`."""
    convert = _item if batch.dialect == "openai" else _unchanged

    async def pieces() -> ByteStream:
        yield _ENCODER.encode(_Head(batch.id)).removesuffix(b"}") + b',"results":['
        separator = b""
        async with aclosing(complete_lines(batch.id, lines.pieces())) as groups:
            async for group in groups:
                yield separator + await asyncio.to_thread(_joined, group, convert)
                separator = b","
        tail = _Tail(has_more=False, extra_fields=extra(provider, batch.options.model))
        yield b"]," + _ENCODER.encode(tail).removeprefix(b"{")

    return RenderedContent(pieces=pieces)


def _joined(lines: bytes, convert: Callable[[bytes], bytes]) -> bytes:
    return b",".join([convert(line) for line in lines.splitlines()])


def _unchanged(line: bytes) -> bytes:
    return line


def _item(line: bytes) -> bytes:
    """Convert a line of OpenAI's dialect; fields without a value are omitted."""
    found = _LINE.decode(line)
    response, error = found.response, found.error
    return _ENCODER.encode(
        gateway.UnifiedBatchResult(
            custom_id=found.custom_id,
            response=UNSET
            if response is None
            else gateway.UnifiedBatchResponse(
                status_code=response.status_code,
                request_id=response.request_id or UNSET,
                body=response.body,
            ),
            error=UNSET
            if error is None
            else gateway.UnifiedResultError(code=error.code or UNSET, message=error.message or UNSET),
            cost_usd=found.cost_usd,
        )
    )
