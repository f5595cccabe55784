"""Reads the body of a create on the unified or OpenAI surface: fields in any order, possibly an array of requests.

The long array is streamed. The fields before and after it are short; they are kept and decoded as one object with an
empty array.
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw

from batchgate.api.array_items import end_of_array
from batchgate.api.binding import value_or_none
from batchgate.api.body_errors import BodyFault, refuse, refuse_json
from batchgate.api.create_body import BLANK, MAX_HEAD
from batchgate.api.metadata import checked_metadata
from batchgate.api.request_errors import fault_code, refuse_input
from batchgate.api.unified.request_shape import DEFAULT_ENDPOINT, RequestShape
from batchgate.engine.model.completion_window import WINDOWS
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, FIELD_REQUIRED, find_lone_surrogate
from batchgate.engine.model.errors import RefusedError
from batchgate_api.gateway import CreateUnifiedBatch, UnifiedBatchEndpoint, UnifiedBatchRequest
from batchgate_api.openai import CreateBatch

F = TypeVar("F", CreateUnifiedBatch, CreateBatch)

WINDOW: Final = "completion_window"
_REQUESTS: Final = re.compile(rb'"requests"[ \t\r\n]*:[ \t\r\n]*\[')
_ANY: Final = msgspec.json.Decoder(Raw)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_UNREADABLE: Final = "the body is not JSON that can be read: not UTF-8, or nested too deeply"


class BatchFormat(Generic[F]):
    """The `CreateFormat` of a create with these fields; ``fields`` holds them, as far as read."""

    has_codes = True
    model = UnifiedBatchRequest
    one = msgspec.json.Decoder(UnifiedBatchRequest)
    many = msgspec.json.Decoder(list[UnifiedBatchRequest])
    between = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|method|url|body|params)"')

    def __init__(self, model: type[F], shape: RequestShape) -> None:
        self.fields: F = model()
        self._fields: type[F] = model
        self._head = b""
        self._shape = shape

    @property
    def input_file(self) -> str | None:
        """The id of the input file; the SDKs send an empty one where there is none."""
        return value_or_none(self.fields.input_file_id) or None

    @property
    def endpoint(self) -> UnifiedBatchEndpoint:
        """The endpoint of the requests."""
        return self._shape.endpoint or value_or_none(self.fields.endpoint) or DEFAULT_ENDPOINT

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find the start of the first request: in the first array named ``requests``.

        An earlier array of that name could only be inside an unknown or an ignored field; such a body is refused.
        """
        found = _REQUESTS.search(window, 0, MAX_HEAD)
        if found and _is_head(bytes(window[: found.end()])):
            self._head = bytes(window[: found.end()])
            self._take(self._head + b"]}")
            return found.end()
        if len(window) > MAX_HEAD:
            message = f"requests: this array must begin within the first {MAX_HEAD} bytes of the body"
            raise refuse(message, param="requests")
        if at_end:
            self.read_without_requests(bytes(window))
            raise _without_requests()
        return None

    def read_without_requests(self, body: bytes) -> None:
        """Decode a body without requests."""
        self.fields = _decoded(body, self._fields)
        if value_or_none(self.fields.requests) is not None:
            raise refuse("requests: spell this key as it is, without escapes", param="requests")
        if self.input_file is None:
            raise _without_requests()

    def tail(self, window: bytes) -> int | None:
        """Find the end of the last request, and take the fields that follow the array."""
        end = end_of_array(window)
        if end is None:
            return None
        rest = window[end:].rstrip(BLANK)
        if len(rest) > MAX_HEAD:
            raise self.oversized_end()
        try:
            if "requests" in _MEMBERS.decode(b'{"":0' + rest):
                raise refuse("requests: the key is there twice; send it once", param="requests")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if surrogate := find_lone_surrogate(rest):
                raise refuse(f"the body is not valid JSON: {surrogate[1]} is a lone surrogate") from error
            return None
        self._take(self._head + b"]" + rest)
        return window.rindex(b"]", 0, end)

    def invalid_end(self, window: bytes, place: int) -> RefusedError:
        """Return the error for a body that does not end correctly."""
        try:
            _ANY.decode(self._head + window)
        except msgspec.DecodeError as error:
            return refuse_json(error, place - len(self._head))
        except RecursionError:
            pass
        return refuse(_UNREADABLE)

    def oversized_end(self) -> RefusedError:
        """Return the refusal of too many bytes after the array."""
        message = f"requests: what follows this array may have at most {MAX_HEAD} bytes"
        return refuse(message, param="requests")

    def content(self, request: UnifiedBatchRequest) -> bytes | BodyFault:
        """Return the params or the body."""
        return self._shape.content(request)

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Return an input line."""
        return self._shape.line(custom_id, content)

    def _take(self, text: bytes) -> None:
        self.fields = _decoded(text, self._fields)
        if self.input_file is not None:
            raise refuse("input_file_id: there are requests too; give one of them", param="input_file_id")
        self._shape.declare(value_or_none(self.fields.endpoint))


class UnifiedBatchFormat(BatchFormat[CreateUnifiedBatch]):
    """The `CreateFormat` of a unified create."""

    def __init__(self) -> None:
        super().__init__(CreateUnifiedBatch, RequestShape())


def _is_head(text: bytes) -> bool:
    """Check if a text is the beginning of an object, up to one of its arrays."""
    try:
        return bytes(_ANY.decode(text + b"]}")).startswith(b"{")
    except (msgspec.DecodeError, RecursionError):
        return False


def _decoded(text: bytes, model: type[F]) -> F:
    try:
        fields = msgspec.json.decode(text, type=model)
    except msgspec.ValidationError as error:
        refusal = refuse_input(error, model, text)
        raise (_wrong_window() if refusal.param == WINDOW else refusal) from error
    except DECODING_ERRORS as error:
        if surrogate := find_lone_surrogate(text):
            raise refuse(f"the body is not valid JSON: {surrogate[1]} is a lone surrogate") from error
        raise refuse_json(error, 0) from error
    checked_metadata(value_or_none(fields.metadata))
    if (value_or_none(fields.completion_window) or "").endswith("\n"):  # $ in a pattern accepts one
        raise _wrong_window()
    return fields


def _wrong_window() -> RefusedError:
    return refuse(f"{WINDOW}: it must be {WINDOWS}", param=WINDOW)


def _without_requests() -> RefusedError:
    message = f"input_file_id: {FIELD_REQUIRED}, or requests"
    return refuse(message, param="input_file_id", code=fault_code(FIELD_REQUIRED))
