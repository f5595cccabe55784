"""Translates request lines of batches between the dialects, one line at a time.

Anthropic's are ``{"custom_id", "params"}``, OpenAI's ``{"custom_id", "method", "url", "body"}``. Lines end with LF.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.batch_endpoint import ENDPOINTS, KINDS
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.own_urls import own_endpoint_of
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.row_model import resolve_model
from batchgate.providers.dialects.server_capabilities import ALL_CHAT_COMPLETIONS, ServerCapabilities
from batchgate.providers.dialects.translation import require_translatable, to_single_line, translate_request
from batchgate_api.anthropic import MessageBatchRequest
from batchgate_api.openai_rows import BatchInputLine


class _AnthropicLine(Struct, frozen=True):
    """`MessageBatchRequest` with any custom_id: OpenAI's need not match Anthropic's pattern."""

    custom_id: str
    params: Raw


_OPENAI: Final = msgspec.json.Decoder(BatchInputLine)
_ANTHROPIC: Final = msgspec.json.Decoder(MessageBatchRequest)


def openai_request_line(
    line: bytes, *, kind: RowKind, target: ServerCapabilities = ALL_CHAT_COMPLETIONS, default_model: str | None = None
) -> bytes:
    """Translate a line of Anthropic's dialect to a line of OpenAI's dialect with a request of ``kind``.

    A request without a model gets ``default_model``. Raises `RequestError` that names the invalid or untranslatable
    field under ``params``.
    """
    try:
        found = _ANTHROPIC.decode(line)
        if kind not in ENDPOINTS:
            raise Untranslatable("url", "the Batch API of OpenAI has no endpoint for Messages; choose another kind")
    except DECODING_ERRORS as error:
        raise _invalid_line(error) from error
    with _prefix_error_paths("params"):
        params, model = resolve_model(bytes(found.params), default_model)
        body = translate_request(params, kind="messages", to=kind, model=model, target=target)
    translated = BatchInputLine(custom_id=found.custom_id, method="POST", url=ENDPOINTS[kind], body=Raw(body))
    return to_single_line(msgspec.json.encode(translated)) + b"\n"


def anthropic_request_line(line: bytes, *, default_model: str | None = None) -> bytes:
    """Translate a line of OpenAI's dialect to a line of Anthropic's dialect.

    A request without a model gets ``default_model``. Raises `RequestError` that names the invalid or untranslatable
    field under ``body``.
    """
    try:
        found = _OPENAI.decode(line)
    except DECODING_ERRORS as error:
        raise _invalid_line(error) from error
    kind = _kind_of_url(found.url)
    with _prefix_error_paths("body"):
        require_translatable(kind, "messages")
        body, model = resolve_model(bytes(found.body), default_model)
        params = translate_request(body, kind=kind, to="messages", model=model)
    return to_single_line(msgspec.json.encode(_AnthropicLine(found.custom_id, Raw(params)))) + b"\n"


def _kind_of_url(url: str) -> RowKind:
    """Return the kind of the requests for the url of a stored line, which names an endpoint."""
    endpoint = own_endpoint_of(url)
    found = next((kind for path, kind in KINDS.items() if path == (endpoint or url)), None)
    if found is None:
        raise RequestError("invalid_request_error", f"url: {url!r} is no endpoint")
    return found


@contextmanager
def _prefix_error_paths(prefix: str) -> Iterator[None]:
    """Prefix the paths in errors of the request with ``prefix``, the field of the line that holds the request."""
    try:
        yield
    except Untranslatable as error:
        if error.field == "url":
            raise
        raise Untranslatable(f"{prefix}.{error.field}", error.reason) from error
    except RequestError as error:
        raise RequestError(error.kind, f"{prefix}.{error.message}") from error


def _invalid_line(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> RequestError:
    return RequestError("invalid_request_error", str(describe_decoding_error(error)))
