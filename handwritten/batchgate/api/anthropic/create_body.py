"""Reads the body of a create, ``{"requests": [{"custom_id", "params"}, ...]}``, as it arrives.

The body is cut in windows that end between two requests. A window is decoded by msgspec as an array of its own. Since
JSON is read from left to right in one way only, a window that decodes was cut in the right place, and one that turns
out to be cut inside a request is tried again when more has come. Where to cut is guessed, since params may hold what
looks like a request; where the guess stays wrong, the window is walked token by token. So neither the body nor a tree
of it is ever held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from batchgate.api.content_encoding import ContentDecoder, IdentityDecoder
from batchgate.engine.errors import RefusedError
from batchgate.engine.validation import DECODING_ERRORS, describe, describe_decoding, lone_surrogate
from batchgate_api.anthropic import MessageBatchRequest

WINDOW = 1024 * 1024
MAX_BODY = 256 * 1024 * 1024
MAX_REQUEST = 32 * 1024 * 1024
MAX_REQUESTS = 100_000
MAX_PROBLEMS = 50
"""How many bad requests one refusal names."""
MAX_HEAD = 64 * 1024
"""How many bytes may stand before the first request, and in one request besides its params."""
MAX_WINDOW = MAX_REQUEST + MAX_HEAD
"""How far a window grows that cannot be cut; it then holds more than one request, or one too large."""

_HEAD: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"requests"[ \t\r\n]*:[ \t\r\n]*\[')
_BETWEEN: Final = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"(?:custom_id|params)"')
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|([\[{])|([\]}])|(,)', re.DOTALL)
"""A string, be it cut off by the end, or one of the groups: what opens, what closes, a comma."""
_OPENS, _CLOSES, _COMMA = 1, 2, 3
_BLANK: Final = b" \t\r\n"
_NEWLINES: Final = bytes.maketrans(b"\r\n", b"  ")

_REQUESTS: Final = msgspec.json.Decoder(list[MessageBatchRequest])
_REQUEST: Final = msgspec.json.Decoder(MessageBatchRequest)
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)


class CreateBodyReader:
    """A `BodyReader` for the create of a message batch: each input line is one request, its params untouched."""

    def __init__(self, decoder: ContentDecoder) -> None:
        self._decoder = decoder
        self._window = bytearray()
        self._in_requests = False
        self._try_at = WINDOW
        self._received = 0
        self._passed = 0
        self._seen: dict[str, int] = {}
        self._count = 0
        self._problems: list[str] = []

    @property
    def expands(self) -> bool:
        """Whether the body is compressed."""
        return not isinstance(self._decoder, IdentityDecoder)

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Take the next bytes as sent and yield the input lines that are complete and valid, a window at a time."""
        for piece in self._decoder.decode(data):
            self._received += len(piece)
            if self._received > MAX_BODY:
                raise _too_large_after_decoding()
            self._window += piece
            if not self._in_requests:
                self._enter_requests(at_end=False)
            if self._in_requests and len(self._window) >= self._try_at:
                yield self._cut_window()

    def finish(self) -> list[bytes]:
        """Take the end of the body and return the last lines."""
        self._decoder.finish()
        if not self._in_requests:
            self._enter_requests(at_end=True)
        rest = _without_tail(bytes(self._window))
        lines = None if rest is None else self._read(b"[%b]" % rest)
        if rest is None or lines is None:
            raise self._wrong_end()
        if self._count and not rest.strip(_BLANK):
            raise _malformed("trailing comma in array", self._passed + len(rest))
        if not self._count:
            raise _invalid("requests: there must be at least 1 request")
        if self._problems:
            raise self._refusal()
        return lines

    def _enter_requests(self, *, at_end: bool) -> None:
        found = _HEAD.match(self._window, 0, MAX_HEAD)
        if found:
            self._in_requests = True
            self._passed = found.end()
            del self._window[: found.end()]
        elif len(self._window) > MAX_HEAD:
            raise _invalid(f'the body must begin with {{"requests": [, within its first {MAX_HEAD} bytes')
        elif at_end:
            raise _wrong_body(bytes(self._window), 0)

    def _cut_window(self) -> list[bytes]:
        end = _last_between(self._window)
        lines = None if end is None else self._read(self._array(end))
        if lines is not None and end is not None:
            self._pass(end + 1)
            return lines
        if len(self._window) > MAX_WINDOW:
            return self._walk_window()
        self._try_at = min(2 * len(self._window), MAX_WINDOW + 1)
        return []

    def _array(self, end: int) -> bytes:
        """Write the window up to a place as an array, with a single copy."""
        with memoryview(self._window) as window, window[:end] as requests:
            return b"".join((b"[", requests, b"]"))

    def _walk_window(self) -> list[bytes]:
        """Cut at the last comma that does stand between two requests, however many only look so."""
        self._refuse_lone_surrogate(bytes(self._window))
        lines: list[bytes] = []
        end = 0
        for request, behind in _walk(bytes(self._window)):
            lines += self._read_one(request)
            end = behind
        if not end:
            raise _request_too_large(self._count)
        self._pass(end)
        return lines

    def _pass(self, end: int) -> None:
        self._passed += end
        del self._window[:end]
        self._try_at = WINDOW

    def _read(self, array: bytes) -> list[bytes] | None:
        """Read an array of whole requests; None when it ends inside one."""
        try:
            if not array.isascii():
                array.decode()
            return self._lines(_REQUESTS.decode(array))
        except UnicodeDecodeError as error:
            raise _malformed("it is not UTF-8", self._passed + error.start - 1) from error
        except (msgspec.ValidationError, RecursionError):
            return self._read_one_by_one(array[1:-1])
        except msgspec.DecodeError as error:
            self._let_pass_if_cut(error, array[1:-1])
            return None

    def _read_one_by_one(self, window: bytes) -> list[bytes] | None:
        """Read requests of which at least one is wrong, and name each that is."""
        try:
            _ANY.decode(b"[%b]" % window)
        except RecursionError as error:
            for request, _ in _walk(window):
                self._read_one(request)
            self._note(f"requests.{self._count}: Invalid JSON: nested too deeply")
            raise self._refusal() from error
        except msgspec.DecodeError as error:
            self._let_pass_if_cut(error, window)
            return None
        return [line for request, _ in _walk(window + b",") for line in self._read_one(request)]

    def _read_one(self, request: bytes) -> list[bytes]:
        try:
            request.decode()
            return self._lines([_REQUEST.decode(request)])
        except DECODING_ERRORS as error:
            self._note(str(describe_decoding(error).under(f"requests.{self._count}")))
            if not isinstance(error, msgspec.ValidationError):
                raise self._refusal() from error  # where the next request begins is not known for certain
            self._count += 1
            return []

    def _lines(self, requests: list[MessageBatchRequest]) -> list[bytes]:
        lines = []
        for request in requests:
            params = bytes(request.params)
            problem = self._problem(request.custom_id, params)
            if problem:
                self._note(f"requests.{self._count}.{problem}")
            self._count += 1
            if not self._problems:
                lines.append(_line(request.custom_id, params))
        if self._count > MAX_REQUESTS:
            raise _invalid(f"requests: there may be at most {MAX_REQUESTS} requests")
        return lines

    def _note(self, problem: str) -> None:
        self._problems.append(problem)
        if len(self._problems) == MAX_PROBLEMS:
            raise self._refusal()

    def _problem(self, custom_id: str, params: bytes) -> str | None:
        if custom_id.endswith("\n"):  # a pattern's $ lets one pass
            return "custom_id: it ends with a newline"
        first = self._seen.setdefault(custom_id, self._count)
        if first != self._count:
            return f"custom_id: {custom_id!r} is already the custom_id of requests.{first}; each must be unique"
        if not params.startswith(b"{"):
            return "params: it must be an object, the params of a Messages request"
        if len(params) > MAX_REQUEST:
            raise _request_too_large(self._count)
        return None

    def _refusal(self) -> RefusedError:
        more = " (more may follow: only the first are named)" if len(self._problems) == MAX_PROBLEMS else ""
        return _invalid("; ".join(self._problems) + more)

    def _let_pass_if_cut(self, error: msgspec.DecodeError, window: bytes) -> None:
        """Let requests pass that end inside of one, or beyond the array; raises for any other fault."""
        self._refuse_lone_surrogate(window)
        if "truncated" not in str(error) and "trailing characters" not in str(error):
            raise _not_json(error, self._passed - 1) from error

    def _refuse_lone_surrogate(self, window: bytes) -> None:
        """Name the request that has one, as the window cannot be decoded because of it."""
        found = lone_surrogate(window)
        if found is None:
            return
        place, written = found
        seq = self._count + sum(behind <= place for _, behind in _walk(window))
        what = f"{written} is a lone surrogate, half of a character (byte {self._passed + place} of the body)"
        self._note(f"requests.{seq}: Invalid JSON: {what}")
        raise self._refusal()

    def _wrong_end(self) -> RefusedError:
        return _wrong_body(b'{"requests":[' + self._window, self._passed - len(b'{"requests":['))


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create, its requests not looked into."""

    requests: msgspec.Raw


def _last_between(window: bytearray) -> int | None:
    """Find the last comma that seems to stand between two requests."""
    start = len(window)
    while start > 0:
        start = max(0, start - MAX_HEAD)
        found = [match.start(1) for match in _BETWEEN.finditer(window, start, min(len(window), start + 2 * MAX_HEAD))]
        if found:
            return found[-1]
    return None


def _walk(window: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each request that a comma follows, with the place behind that comma."""
    start = depth = 0
    for token in _TOKEN.finditer(window):
        if token.lastindex == _OPENS:
            depth += 1
        elif token.lastindex == _CLOSES:
            depth -= 1
        elif token.lastindex == _COMMA and depth == 0:
            yield window[start : token.start()], token.end()
            start = token.end()
        if depth < 0 and start:
            return
        if depth < 0:
            raise _invalid("requests: after this array only the closing brace of the body may follow")


def _without_tail(window: bytes) -> bytes | None:
    """Take what closes the array and the body off the end of the last requests; None if it is not there."""
    for closing in (b"}", b"]"):
        window = window.rstrip(_BLANK)
        if not window.endswith(closing):
            return None
        window = window.removesuffix(closing)
    return window


def _line(custom_id: str, params: bytes) -> bytes:
    # Outside of strings, where JSON has no raw control characters, a newline is as good as a space.
    if b"\n" in params or b"\r" in params:
        params = params.translate(_NEWLINES)
    return b'{"custom_id":"%s","params":%s}\n' % (custom_id.encode(), params)


def _wrong_body(text: bytes, base: int) -> RefusedError:
    """Say what is wrong with a body whose requests could not be found; ``base`` is where ``text`` begins in it."""
    try:
        body = msgspec.json.decode(text, type=_Body)
    except msgspec.ValidationError as error:
        return _invalid(str(describe(error)))
    except msgspec.DecodeError as error:
        return _not_json(error, base)
    except (RecursionError, UnicodeDecodeError):
        return _invalid("the body is not JSON that can be read: not UTF-8, or nested too deeply")
    if bytes(body.requests).startswith(b"["):
        return _invalid("requests: the key is there twice, or spelled with escapes; send it once, as it is")
    return _invalid("requests: it must be an array of requests")


def _not_json(error: msgspec.DecodeError, base: int) -> RefusedError:
    text = str(error)
    if "truncated" in text:
        return _invalid("the body is not valid JSON: it ends too early")
    reason, _, place = text.removeprefix("JSON is malformed: ").rpartition(" (byte ")
    return _malformed(reason, base + int(place.rstrip(")")))


def _malformed(reason: str, place: int) -> RefusedError:
    return _invalid(f"the body is not valid JSON: {reason} (byte {place})")


def _invalid(message: str) -> RefusedError:
    return RefusedError("invalid_request_error", message)


def _request_too_large(seq: int) -> RefusedError:
    return RefusedError("request_too_large", f"requests.{seq}: one request may have at most {MAX_REQUEST} bytes")


def _too_large_after_decoding() -> RefusedError:
    return RefusedError(
        "request_too_large",
        f"the body may have at most {MAX_BODY} bytes after decoding",
        code="request_body_too_large_after_decoding",
    )
