"""Downloads an Avro file and gives its records as lines of JSON, which are read as those of any result file."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import msgspec

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account
from batchgate.providers.batches.downloaded_file import downloaded
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange

AVRO_EXTRA: Final = "the extra cohere: pip install 'batchgate[cohere]'"
"""What the reading of Avro needs."""
_BLOCK: Final = 1024 * 1024
"""Bytes of lines that are made at once."""


def has_avro() -> bool:
    """Return whether the package that reads Avro is installed."""
    return importlib.util.find_spec("fastavro") is not None


async def avro_lines(exchange: HttpExchange, account: Account, call: HttpCall) -> AsyncGenerator[bytes, None]:
    """Yield the records of a file as lines, several at once; a field that is null is left out, as the live API does.

    Raises `NoUpstreamAnswer` for a file that is not Avro, damaged or cut off, and without the extra that reads it.
    """
    try:
        from batchgate.providers.batches.avro_records import BrokenAvro, avro_records  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_usable(f"it is Avro, which needs {AVRO_EXTRA}", retry_safe=True) from error
    async with downloaded(exchange, account, call) as file:
        records = avro_records(file)
        try:
            while lines := await asyncio.to_thread(_next_lines, records):
                yield lines
        except BrokenAvro as error:
            raise _not_usable(f"{error}", retry_safe=error.is_cut_off) from error


def _next_lines(records: Iterator[object]) -> bytes:
    lines = bytearray()
    for record in records:
        lines += msgspec.json.encode(_without_nulls(record))
        lines += b"\n"
        if len(lines) >= _BLOCK:
            break
    return bytes(lines)


def _without_nulls(value: object) -> object:
    """Return a record without the fields that are null: Avro has every field of a schema in every record."""
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return [_without_nulls(part) for part in value]
    return value


def _not_usable(problem: str, *, retry_safe: bool) -> NoUpstreamAnswer:
    message = f"The provider's result file is not usable: {problem}."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=retry_safe)
