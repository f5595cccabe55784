"""Reads the rows of Cohere's output datasets, as responses of the live API.

A row is ``{"custom_id", "body", "error"}``, with a text for the error that is empty if there is none; it has been seen
with a ``response`` too, as a text with JSON or with a status, so both are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.batches.openai_results import result_of_error
from batchgate.providers.dialects.cohere_answers import cohere_to_completion


class _Row(Struct, frozen=True):
    custom_id: str
    body: Raw | UnsetType = UNSET
    response: Raw | UnsetType = UNSET
    error: object = None


class _Response(Struct, frozen=True):
    status_code: int
    body: Raw


_ROW: Final = msgspec.json.Decoder(_Row)
_RESPONSE: Final = msgspec.json.Decoder(_Response)
_MICROSECONDS: Final = 1_000_000


def result_reader(job: NativeJob) -> Callable[[bytes], NativeResult | None]:
    """Return the reader of rows: requests of the compatible API get their answers in its format."""
    return partial(_read, job) if job.kind == "chat_completions" else read_result


def _read(job: NativeJob, line: bytes) -> NativeResult | None:
    result = read_result(line)
    if result is None or result.response is None or result.response.status != 200:
        return result
    try:
        completion = cohere_to_completion(
            result.response.body, model=job.model, created=job.created_at // _MICROSECONDS
        )
    except DECODING_ERRORS:
        return result  # it is read as the answer that it is not
    body = msgspec.json.encode(completion)
    return NativeResult(row_id=result.row_id, response=UpstreamResponse(status=200, headers={}, body=body))


def read_result(line: bytes) -> NativeResult | None:
    """Return what a row says about a request; None for a row that is no result or does not name its request."""
    try:
        row = _ROW.decode(line)
    except DECODING_ERRORS:
        return None
    error = _unpacked(row.error) if isinstance(row.error, str) else row.error
    answer = next((found for found in (row.body, row.response) if isinstance(found, Raw) and found != b"null"), None)
    if answer is None or error:
        return result_of_error(row.custom_id, error)
    return NativeResult(row_id=row.custom_id, response=_response(bytes(answer)))


def _response(answer: bytes) -> UpstreamResponse:
    """Return a response with the status that a row states; most state none."""
    body = _text(answer)
    try:
        stated = _RESPONSE.decode(body)
    except DECODING_ERRORS:
        return UpstreamResponse(status=200, headers={}, body=body)
    return UpstreamResponse(status=stated.status_code, headers={}, body=_text(bytes(stated.body)))


def _text(body: bytes) -> bytes:
    """Return JSON that may be written as a text."""
    return msgspec.json.decode(body, type=str).encode() if body[:1] == b'"' else body


def _unpacked(error: str) -> object:
    """Return the error that is JSON in a text, or the text itself."""
    try:
        found: object = msgspec.json.decode(error)
    except DECODING_ERRORS:
        return error
    return found if isinstance(found, dict) else error
