"""Reads a JSON document that may contain all results of a job, by way of a file instead of the memory."""

from __future__ import annotations

import asyncio
import mmap
from typing import IO, TypeVar

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account
from batchgate.providers.batches.downloaded_file import downloaded
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange

T = TypeVar("T")


async def read_document(exchange: HttpExchange, account: Account, call: HttpCall, kind: type[T], name: str) -> T:
    """Download a document and decode it; its fields of the type `msgspec.Raw` stay in the file until they are read.

    Raises `NoUpstreamAnswer` for a body that is not ``name``, or that is too large.
    """
    async with downloaded(exchange, account, call) as file:
        try:
            return await asyncio.to_thread(_decode, file, kind)
        except DECODING_ERRORS as error:
            message = f"The provider returned 200, but the body is not {name} ({describe_decoding_error(error)})."
            raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True) from error


def _decode(file: IO[bytes], kind: type[T]) -> T:
    if not file.tell():
        return msgspec.json.decode(b"", type=kind)
    # It is closed with the last field that refers to it.
    return msgspec.json.decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), type=kind)
