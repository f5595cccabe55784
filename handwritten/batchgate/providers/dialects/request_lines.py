"""Translates the request lines of batches between the dialects, one line at a time.

Anthropic's are ``{"custom_id", "params"}``, OpenAI's ``{"custom_id", "method", "url", "body"}``. Lines carry their LF.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.batch_endpoint import ENDPOINTS, KINDS
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.row_model import resolve_model
from batchgate.providers.dialects.server_capabilities import ALL_CHAT_COMPLETIONS, ServerCapabilities
from batchgate.providers.dialects.translation import to_single_line, translate_request
from batchgate_api.anthropic import MessageBatchRequest
from batchgate_api.openai_rows import BatchInputLine


class _AnthropicLine(Struct, frozen=True):
    """`MessageBatchRequest` as it is written: a custom_id from elsewhere need not fit Anthropic's pattern."""

    custom_id: str
    params: Raw


_OPENAI: Final = msgspec.json.Decoder(BatchInputLine)
_ANTHROPIC: Final = msgspec.json.Decoder(MessageBatchRequest)


def openai_request_line(
    line: bytes, *, kind: RowKind, target: ServerCapabilities = ALL_CHAT_COMPLETIONS, default_model: str | None = None
) -> bytes:
    """Say a line of Anthropic's dialect as a line of OpenAI's whose rows are of ``kind``.

    ``default_model`` is for a request that names none. Raises `RequestError` that names the field under ``params`` that
    is wrong or cannot be said.
    """
    try:
        found = _ANTHROPIC.decode(line)
        if kind not in ENDPOINTS:
            raise Untranslatable("url", "OpenAI's batches have no endpoint for Messages; choose another kind")
    except DECODING_ERRORS as error:
        raise _invalid_line(error) from error
    with _prefix_error_paths("params"):
        params, model = resolve_model(bytes(found.params), default_model)
        body = translate_request(params, kind="messages", to=kind, model=model, target=target)
    translated = BatchInputLine(custom_id=found.custom_id, method="POST", url=ENDPOINTS[kind], body=Raw(body))
    return to_single_line(msgspec.json.encode(translated)) + b"\n"


def anthropic_request_line(line: bytes, *, default_model: str | None = None) -> bytes:
    """Say a line of OpenAI's dialect as a line of Anthropic's.

    ``default_model`` is for a request that names none. Raises `RequestError` that names the field under ``body`` that
    is wrong or cannot be said.
    """
    try:
        found = _OPENAI.decode(line)
    except DECODING_ERRORS as error:
        raise _invalid_line(error) from error
    with _prefix_error_paths("body"):
        body, model = resolve_model(bytes(found.body), default_model)
        params = translate_request(body, kind=KINDS[found.url], to="messages", model=model)
    return to_single_line(msgspec.json.encode(_AnthropicLine(found.custom_id, Raw(params)))) + b"\n"


@contextmanager
def _prefix_error_paths(prefix: str) -> Iterator[None]:
    """Let errors name the path within the line instead of that within the request, which stands at ``prefix``."""
    try:
        yield
    except Untranslatable as error:
        if error.field == "url":
            raise
        raise Untranslatable(f"{prefix}.{error.field}", error.reason) from error
    except RequestError as error:
        raise RequestError(error.kind, f"{prefix}.{error.message}") from error


def _invalid_line(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> RequestError:
    return RequestError("invalid_request_error", str(describe_decoding(error)))
