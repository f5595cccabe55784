"""Reads the body of a message batch create, ``{"requests": [{"custom_id", "params"}, ...]}``."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from batchgate.api.anthropic.params_url import without_url
from batchgate.api.body_errors import BodyFault, refuse, refuse_json
from batchgate.api.content_encoding import ContentDecoder
from batchgate.api.create_body import BLANK, MAX_HEAD, CreateReader
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_validation_error
from batchgate.engine.model.errors import RefusedError
from batchgate_api.anthropic import MessageBatchRequest

_HEAD: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"requests"[ \t\r\n]*:[ \t\r\n]*\[')


class MessageBatchFormat:
    """A `CreateFormat` with nothing but the array in the body."""

    has_codes = False
    model = MessageBatchRequest
    one = msgspec.json.Decoder(MessageBatchRequest)
    many = msgspec.json.Decoder(list[MessageBatchRequest])
    between = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|params)"')

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find the start of the first request."""
        found = _HEAD.match(window, 0, MAX_HEAD)
        if found:
            return found.end()
        if len(window) > MAX_HEAD:
            raise refuse(f'the body must begin with {{"requests": [, within its first {MAX_HEAD} bytes')
        if at_end:
            raise _wrong_body(bytes(window), 0)
        return None

    def tail(self, window: bytes) -> int | None:
        """Remove the closing brackets of array and body."""
        for closing in (b"}", b"]"):
            window = window.rstrip(BLANK)
            if not window.endswith(closing):
                return None
            window = window.removesuffix(closing)
        return len(window)

    def invalid_end(self, window: bytes, place: int) -> RefusedError:
        """Return the refusal of an invalid end."""
        return _wrong_body(b'{"requests":[' + window, place - len(b'{"requests":['))

    def oversized_end(self) -> RefusedError:
        """Return the refusal of a body with more fields than requests."""
        return refuse("requests: after this array only the closing brace of the body may follow")

    def content(self, request: MessageBatchRequest) -> bytes | BodyFault:
        """Return the params."""
        if request.custom_id.endswith("\n"):  # $ in a pattern accepts one
            return BodyFault("custom_id", "it ends with a newline")
        return checked_params(bytes(request.params), "params")

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Return an input line."""
        return params_line(custom_id, content)


class MessageBatchReader(CreateReader[MessageBatchRequest]):
    """The `BodyReader` for the create of a message batch."""

    def __init__(self, decoder: ContentDecoder) -> None:
        super().__init__(decoder, MessageBatchFormat())


def checked_params(params: bytes, field: str) -> bytes | BodyFault:
    """Return the params of a Messages request in ``field`` without their ``url``, or what is wrong with them."""
    if not params.startswith(b"{"):
        return BodyFault(field, "it must be an object, the params of a Messages request")
    checked = without_url(params)
    return checked.with_prefix(field) if isinstance(checked, BodyFault) else checked


def params_line(custom_id: str, params: bytes) -> bytes:
    """Return an input line of the Anthropic dialect."""
    return b'{"custom_id":"%s","params":%s}\n' % (custom_id.encode(), params)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create, with raw requests."""

    requests: msgspec.Raw


def _wrong_body(text: bytes, base: int) -> RefusedError:
    """Return the refusal of a body without requests; ``base`` is the position of ``text`` in it."""
    try:
        body = msgspec.json.decode(text, type=_Body)
    except msgspec.ValidationError as error:
        return refuse(str(describe_validation_error(error)))
    except DECODING_ERRORS as error:
        return refuse_json(error, base)
    if bytes(body.requests).startswith(b"["):
        return refuse("requests: the key is there twice, or spelled with escapes; send it once, as it is")
    return refuse("requests: it must be an array of requests")
