"""Reads the body of the create of a message batch, ``{"requests": [{"custom_id", "params"}, ...]}``."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from batchgate.api.body_errors import Fault, invalid, not_json
from batchgate.api.content_encoding import ContentDecoder
from batchgate.api.create_body import BLANK, MAX_HEAD, CreateReader
from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RefusedError
from batchgate_api.anthropic import MessageBatchRequest

_HEAD: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"requests"[ \t\r\n]*:[ \t\r\n]*\[')


class MessageBatchForm:
    """A `Form` with nothing but the array in the body."""

    coded = False
    model = MessageBatchRequest
    one = msgspec.json.Decoder(MessageBatchRequest)
    many = msgspec.json.Decoder(list[MessageBatchRequest])
    between = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|params)"')

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find where the first request begins."""
        found = _HEAD.match(window, 0, MAX_HEAD)
        if found:
            return found.end()
        if len(window) > MAX_HEAD:
            raise invalid(f'the body must begin with {{"requests": [, within its first {MAX_HEAD} bytes')
        if at_end:
            raise _wrong_body(bytes(window), 0)
        return None

    def tail(self, window: bytes) -> int | None:
        """Take what closes the array and the body off the end."""
        for closing in (b"}", b"]"):
            window = window.rstrip(BLANK)
            if not window.endswith(closing):
                return None
            window = window.removesuffix(closing)
        return len(window)

    def wrong_end(self, window: bytes, place: int) -> RefusedError:
        """Say what is wrong with a body that does not end as it should."""
        return _wrong_body(b'{"requests":[' + window, place - len(b'{"requests":['))

    def overlong_end(self) -> RefusedError:
        """Say that there is more than requests."""
        return invalid("requests: after this array only the closing brace of the body may follow")

    def content(self, request: MessageBatchRequest) -> bytes | Fault:
        """Take the params."""
        if request.custom_id.endswith("\n"):  # a pattern's $ lets one pass
            return Fault("custom_id", "it ends with a newline")
        params = bytes(request.params)
        return params if params.startswith(b"{") else NOT_PARAMS

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Write an input line."""
        return params_line(custom_id, content)


class CreateBodyReader(CreateReader[MessageBatchRequest]):
    """A `BodyReader` for the create of a message batch."""

    def __init__(self, decoder: ContentDecoder) -> None:
        super().__init__(decoder, MessageBatchForm())


NOT_PARAMS: Final = Fault("params", "it must be an object, the params of a Messages request")


def params_line(custom_id: str, params: bytes) -> bytes:
    """Write an input line of the Anthropic dialect."""
    return b'{"custom_id":"%s","params":%s}\n' % (custom_id.encode(), params)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create, its requests not looked into."""

    requests: msgspec.Raw


def _wrong_body(text: bytes, base: int) -> RefusedError:
    """Say what is wrong with a body whose requests could not be found; ``base`` is where ``text`` begins in it."""
    try:
        body = msgspec.json.decode(text, type=_Body)
    except msgspec.ValidationError as error:
        return invalid(str(describe_validation_error(error)))
    except msgspec.DecodeError as error:
        return not_json(error, base)
    except (RecursionError, UnicodeDecodeError):
        return invalid("the body is not JSON that can be read: not UTF-8, or nested too deeply")
    if bytes(body.requests).startswith(b"["):
        return invalid("requests: the key is there twice, or spelled with escapes; send it once, as it is")
    return invalid("requests: it must be an array of requests")
