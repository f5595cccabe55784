"""Reads a small JSON body and checks it against the generated model of its operation."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from batchgate.api.content_encoding import ContentDecoder, IdentityDecoder
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.request_errors import refuse_input
from batchgate.engine.model.decoding_errors import (
    DECODING_ERRORS,
    DecodingError,
    describe_decoding_error,
    find_lone_surrogate,
)
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.text_encoding import to_utf8
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD

S = TypeVar("S", bound=msgspec.Struct)

MAX_BODY: Final = 1024 * 1024
INVALID_UTF16: Final = "the body begins with a byte order mark of UTF-16, but is not valid UTF-16; send UTF-8"


async def read_json(request: web.Request, model: type[S]) -> S:
    """Decode the body as a model; raises `RefusedError` that names what is wrong.

    A compressed or long body is decoded in a thread, so that no other call waits for it.
    """
    decoder = body_decoder(request)
    received = b"".join([data async for data in pieces(request, MAX_BODY)])
    if isinstance(decoder, IdentityDecoder) and len(received) < THREAD_THRESHOLD:
        return _decode(received, decoder, model)
    return await asyncio.to_thread(_decode, received, decoder, model)


def _decode(received: bytes, decoder: ContentDecoder, model: type[S]) -> S:
    try:
        body = to_utf8(_decompress(received, decoder))
    except UnicodeDecodeError as error:
        raise RefusedError("invalid_request_error", INVALID_UTF16) from error
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise refuse_input(error, model, body) from error
    except DECODING_ERRORS as error:
        raise _not_json(error, body) from error


def _decompress(received: bytes, decoder: ContentDecoder) -> bytes:
    body = bytearray()
    for piece in decoder.decode(received):
        body += piece
        if len(body) > MAX_BODY:
            message = f"the body may have at most {MAX_BODY} bytes after decoding"
            raise RefusedError("request_too_large", message, code="request_body_too_large_after_decoding")
    decoder.finish()
    return bytes(body)


def _not_json(error: DecodingError, body: bytes) -> RefusedError:
    surrogate = find_lone_surrogate(body)
    if surrogate is None:
        reason = describe_decoding_error(error).message.removeprefix("Invalid JSON: ")
    else:
        reason = f"{surrogate[1]} is a lone surrogate, half of a character (byte {surrogate[0]})"
    return RefusedError("invalid_request_error", f"the body is not valid JSON: {reason}")
