"""Which requests run in jobs of Vertex AI, what they share there, and the lines of results (native-lanes 2.4).

Vertex loads the rows for Gemini as a table, in which each name has one type. One row that does not fit fails the job.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.batches.gemini_objects import RPC_STATUSES
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.dialects.translation import EMBEDDING_KINDS
from batchgate.providers.handlers.vertex import VertexHandler
from batchgate.providers.handlers.vertex_models import vertex_model

MAX_DEPTH: Final = 15
_NAME: Final = re.compile(r"[A-Za-z_][\w-]{0,299}", re.ASCII)
_SCHEMAS: Final = ("responseSchema", "responseJsonSchema", "responseFormat")
_MAY_HAVE_SCHEMA: Final = re.compile(rb"chema|ormat")
_PHRASES: Final = {status.phrase: status.value for status in HTTPStatus if status >= 400}


class _Request(Struct, frozen=True):
    generationConfig: dict[str, Raw] | None = None  # noqa: N815 - Gemini's name


class _Line(Struct, frozen=True):
    custom_id: object = None
    status: object = None
    response: object = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_LINE: Final = msgspec.json.Decoder(_Line)
_OBJECT: Final = msgspec.json.Decoder(dict[str, object])


def refusal(handler: VertexHandler, row: RequestRow) -> str | None:
    """Return why a request cannot run in a job, with the name of the field; None if it can."""
    try:
        publisher = vertex_model(row.model).publisher
        handler.sent_kind(row.kind, vertex_model(row.model))
        if row.kind in EMBEDDING_KINDS:
            return "url: embeddings are not sent in jobs of Vertex"
        return refused_field("vertex", row) or _REFUSALS.get(publisher, _refusal_for_others)(handler, row)
    except RequestError as error:
        return error.message


def _refusal_for_others(_handler: VertexHandler, _row: RequestRow) -> str:
    return "model: Vertex's jobs take models of Google and Anthropic alone"


def _refusal_for_claude(_handler: VertexHandler, row: RequestRow) -> str | None:
    return "anthropic-beta: Vertex's jobs have no place for it" if "anthropic-beta" in row.headers else None


def _refusal_for_gemini(handler: VertexHandler, row: RequestRow) -> str | None:
    try:
        body = _OBJECT.decode(handler.body(row))
    except DECODING_ERRORS:
        return None  # its encoding reports it
    if body.get("cachedContent") is not None:
        return "cachedContent: Vertex's jobs have no cache"
    return next(_problems(body, "", 1), None)


_REFUSALS: Final[Mapping[str, Callable[[VertexHandler, RequestRow], str | None]]] = {
    "anthropic": _refusal_for_claude,
    "google": _refusal_for_gemini,
}


def _problems(value: object, path: str, depth: int) -> Iterator[str]:
    """Yield what the table cannot have; ``depth`` is the number of objects around a value, itself included."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            place = f"{path}.{index}"
            if item is None or isinstance(item, list):
                yield f"{place}: Vertex's jobs take no null and no list in a list"
            yield from _problems(item, place, depth)
        return
    if not isinstance(value, dict):
        return
    if not value:
        yield f"{path}: Vertex's jobs take no empty object"
    if depth > MAX_DEPTH:
        yield f"{path}: Vertex's jobs take no objects that are nested so deeply"
        return
    for name, item in value.items():
        place = f"{path}.{name}" if path else name
        if _NAME.fullmatch(name) is None:
            yield f"{place}: Vertex's jobs take names of letters, digits, _ and - alone"
        if name == "type" and isinstance(item, list):
            yield f"{place}: Vertex's jobs take a type as one text alone"
        yield from _problems(item, place, depth + isinstance(item, dict | list))


def response_schema(handler: VertexHandler, row: RequestRow) -> str:
    """Return a digest of the schema for the answer, which all rows of a job must share; empty if there is none."""
    if vertex_model(row.model).publisher != "google" or not _MAY_HAVE_SCHEMA.search(row.params):
        return ""
    try:
        config = _REQUEST.decode(handler.body(row)).generationConfig or {}
    except (RequestError, *DECODING_ERRORS):
        return ""
    found = [bytes(config[name]) for name in _SCHEMAS if name in config]
    return sha256(b"\0".join(found)).hexdigest()[:16] if found else ""


# ---------------------------------------------------------------- results


def read_result(line: bytes) -> NativeResult | None:
    """Return what a line says about a request; None for a line that is no result or does not name its request."""
    try:
        read = _LINE.decode(line)
    except DECODING_ERRORS:
        return None
    if not isinstance(read.custom_id, str):
        return None
    if isinstance(read.response, dict) and read.response and not read.status:
        response = UpstreamResponse(status=200, headers={}, body=msgspec.json.encode(_answer(read.response)))
    else:
        response = _failed(read.status)
    return NativeResult(row_id=read.custom_id, response=response)


def _answer(response: Mapping[str, object]) -> object:
    """Return the answer; some report that Claude's stands in a ``body``."""
    body = response.get("body")
    return body if isinstance(body, dict) and "content" not in response else response


def _failed(status: object) -> UpstreamResponse:
    """Return the error of a row: its text is often that of a status, followed by the error as JSON."""
    text = (
        status if isinstance(status, str) and status else "The provider's result has neither a response nor an error."
    )
    phrase, _, rest = text.partition(": ")
    error = _error_in(text[text.find("{") :]) or {"message": rest or text}
    number = _status_of(error.get("code")) or _PHRASES.get(phrase, 500)
    body = msgspec.json.encode({"error": {**error, "code": number}})
    return UpstreamResponse(status=number, headers={}, body=body)


def _error_in(text: str) -> Mapping[str, object] | None:
    """Return the error object in a JSON text, with or without an envelope; None if it is none."""
    try:
        found = _OBJECT.decode(text)
    except DECODING_ERRORS:
        return None
    inner = found.get("error")
    return inner if isinstance(inner, dict) else found


def _status_of(code: object) -> int | None:
    """Return the HTTP status of a code of HTTP or google.rpc."""
    if type(code) is not int:
        return None
    return code if 400 <= code <= 599 else RPC_STATUSES.get(code)
