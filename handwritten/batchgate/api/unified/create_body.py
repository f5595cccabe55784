"""Reads the body of a unified create: fields in any order, among them perhaps the array of requests.

The array may be long and passes as it comes; what stands before and behind it is short, is kept, and is decoded as one
object, as if there were nothing in the array.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from batchgate.api.binding import given
from batchgate.api.body_errors import Fault, invalid, not_json
from batchgate.api.create_body import BLANK, MAX_HEAD
from batchgate.api.metadata import checked_metadata
from batchgate.api.request_errors import fault_code, wrong_input
from batchgate.api.unified.request_shape import DEFAULT_ENDPOINT, RequestShape
from batchgate.engine.model.decoding_errors import FIELD_REQUIRED, find_lone_surrogate
from batchgate.engine.model.errors import RefusedError
from batchgate_api.gateway import CreateUnifiedBatch, UnifiedBatchEndpoint, UnifiedBatchRequest

_REQUESTS: Final = re.compile(rb'"requests"[ \t\r\n]*:[ \t\r\n]*\[')
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_ANY: Final = msgspec.json.Decoder(Raw)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_FIELDS: Final = msgspec.json.Decoder(CreateUnifiedBatch)
_UNREADABLE: Final = "the body is not JSON that can be read: not UTF-8, or nested too deeply"


class UnifiedBatchForm:
    """A `Form` for one unified create; ``fields`` is what stands beside the requests, as far as it has come."""

    coded = True
    model = UnifiedBatchRequest
    one = msgspec.json.Decoder(UnifiedBatchRequest)
    many = msgspec.json.Decoder(list[UnifiedBatchRequest])
    between = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|method|url|body|params)"')

    def __init__(self) -> None:
        self.fields = CreateUnifiedBatch()
        self._head = b""
        self._shape = RequestShape()

    @property
    def endpoint(self) -> UnifiedBatchEndpoint:
        """Where the requests go."""
        return self._shape.endpoint or given(self.fields.endpoint) or DEFAULT_ENDPOINT

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find where the first request begins: in the first array that is called ``requests``.

        Another before it could only be in a field that there is not, so that the body is refused in any case.
        """
        found = _REQUESTS.search(window, 0, MAX_HEAD)
        if found and _is_head(bytes(window[: found.end()])):
            self._head = bytes(window[: found.end()])
            self._take(self._head + b"]}")
            return found.end()
        if len(window) > MAX_HEAD:
            message = f"requests: this array must begin within the first {MAX_HEAD} bytes of the body"
            raise invalid(message, param="requests")
        if at_end:
            self.take_whole(bytes(window))
            raise _without_requests()
        return None

    def take_whole(self, body: bytes) -> None:
        """Take a body without requests."""
        self.fields = _decoded(body)
        if given(self.fields.requests) is not None:
            raise invalid("requests: spell this key as it is, without escapes", param="requests")
        if given(self.fields.input_file_id) is None:
            raise _without_requests()

    def tail(self, window: bytes) -> int | None:
        """Find the end of the last request, and take the fields that follow the array."""
        end = _end_of_array(window)
        if end is None:
            return None
        rest = window[end:].rstrip(BLANK)
        if len(rest) > MAX_HEAD:
            raise self.overlong_end()
        try:
            if "requests" in _MEMBERS.decode(b'{"":0' + rest):
                raise invalid("requests: the key is there twice; send it once", param="requests")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if surrogate := find_lone_surrogate(rest):
                raise invalid(f"the body is not valid JSON: {surrogate[1]} is a lone surrogate") from error
            return None
        self._take(self._head + b"]" + rest)
        return window.rindex(b"]", 0, end)

    def wrong_end(self, window: bytes, place: int) -> RefusedError:
        """Say what is wrong with a body that does not end as it should."""
        try:
            _ANY.decode(self._head + window)
        except msgspec.DecodeError as error:
            return not_json(error, place - len(self._head))
        except RecursionError:
            pass
        return invalid(_UNREADABLE)

    def overlong_end(self) -> RefusedError:
        """Say that too much comes after the array."""
        message = f"requests: what follows this array may have at most {MAX_HEAD} bytes"
        return invalid(message, param="requests")

    def content(self, request: UnifiedBatchRequest) -> bytes | Fault:
        """Take the params or the body."""
        return self._shape.content(request)

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Write an input line."""
        return self._shape.line(custom_id, content)

    def _take(self, text: bytes) -> None:
        self.fields = _decoded(text)
        if given(self.fields.input_file_id) is not None:
            raise invalid("input_file_id: there are requests too; give one of them", param="input_file_id")
        self._shape.declare(given(self.fields.endpoint))


def _is_head(text: bytes) -> bool:
    """Tell if a text is the beginning of an object, up to an array of it."""
    try:
        return bytes(_ANY.decode(text + b"]}")).startswith(b"{")
    except (msgspec.DecodeError, RecursionError):
        return False


def _end_of_array(window: bytes) -> int | None:
    """Find the first byte behind the array whose first bracket has been taken off; None if it does not end."""
    try:
        _ANY.decode(b"[" + window)
    except RecursionError:
        return None
    except msgspec.DecodeError as error:
        found = _TRAILING.search(str(error))
        return int(found[1]) - 2 if found else None  # the byte behind the first of them, and our bracket
    return None


def _decoded(text: bytes) -> CreateUnifiedBatch:
    try:
        fields = _FIELDS.decode(text)
    except msgspec.ValidationError as error:
        raise wrong_input(error, CreateUnifiedBatch) from error
    except msgspec.DecodeError as error:
        if surrogate := find_lone_surrogate(text):
            raise invalid(f"the body is not valid JSON: {surrogate[1]} is a lone surrogate") from error
        raise not_json(error, 0) from error
    except (RecursionError, UnicodeDecodeError) as error:
        raise invalid(_UNREADABLE) from error
    checked_metadata(given(fields.metadata))
    return fields


def _without_requests() -> RefusedError:
    message = f"input_file_id: {FIELD_REQUIRED}, or requests"
    return invalid(message, param="input_file_id", code=fault_code(FIELD_REQUIRED))
