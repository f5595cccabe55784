"""Reads the body of a create, an object with an array ``requests``, while it arrives.

What stands around the array and in it is the matter of a `CreateFormat`, one for each surface. The array is cut in
windows that end between two requests. A window is decoded by msgspec as an array of its own. Since JSON is read from
left to right in one way only, a window that decodes was cut in the right place, and one that turns out to be cut
inside a request is tried again when more has come. Where to cut is guessed, since a request may hold what looks like
another; where the guess stays wrong, the window is walked request by request. So neither the body nor a tree of it is
ever held.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from batchgate.api.array_items import array_items, end_of_array
from batchgate.api.body_errors import (
    DUPLICATE_CUSTOM_ID,
    BodyFault,
    decoding_fault,
    refuse,
    refuse_json,
    refuse_malformed,
)
from batchgate.api.content_encoding import ContentDecoder, IdentityDecoder
from batchgate.api.create_faults import RefusingFaults
from batchgate.api.json_body import INVALID_UTF16
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, find_lone_surrogate
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.text_encoding import Utf8Decoder

WINDOW = 1024 * 1024
MAX_BODY = 256 * 1024 * 1024
MAX_REQUEST = 32 * 1024 * 1024
MAX_REQUESTS = 100_000
MAX_HEAD = 64 * 1024
"""Maximum bytes before the first request, after the last one, and in one request besides its own object."""
MAX_WINDOW = MAX_REQUEST + MAX_HEAD
"""Maximum size of a window that cannot be cut; then it holds several requests, or one that is too large."""

BLANK: Final = b" \t\r\n"

_NEWLINES: Final = bytes.maketrans(b"\r\n", b"  ")
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)


class _CustomIdOnly(msgspec.Struct, frozen=True):
    custom_id: str


_CUSTOM_ID: Final = msgspec.json.Decoder(_CustomIdOnly)


class Request(Protocol):
    """One request in the form of a surface."""

    @property
    def custom_id(self) -> str:
        """The caller's name for it."""
        ...


R = TypeVar("R", bound=Request)


class CreateFormat(Protocol[R]):
    """The format of a create on one surface; one object for each body, because it may keep state."""

    has_codes: bool
    """Whether errors of the surface have a code."""
    one: msgspec.json.Decoder[R]
    many: msgspec.json.Decoder[list[R]]
    between: re.Pattern[bytes]
    """Finds what looks like the text between two requests; the first group is the comma."""

    @property
    def model(self) -> type[msgspec.Struct]:
        """The model of a request."""
        ...

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find the start of the first request; None if it needs more bytes. Raises `RefusedError` for another body."""
        ...

    def tail(self, window: bytes) -> int | None:
        """Find the end of the last request, and read what follows; None if the end is invalid."""
        ...

    def invalid_end(self, window: bytes, place: int) -> RefusedError:
        """Return the refusal of a body with an invalid end; its last bytes begin at ``place``."""
        ...

    def oversized_end(self) -> RefusedError:
        """Return the refusal of a body with too many bytes after the array."""
        ...

    def content(self, request: R) -> bytes | BodyFault:
        """Return the params or body of a request, or what is wrong with the request."""
        ...

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Return an input line."""
        ...


class CreateFaults(Protocol):
    """Gets the faults of requests, and decides what becomes of the create."""

    @property
    def drops_requests(self) -> bool:
        """Whether the valid requests are of no use any more."""
        ...

    def accept(self, seq: int) -> None:
        """Count a valid request."""
        ...

    def add(self, fault: BodyFault, seq: int, custom_id: str | None) -> None:
        """Add the fault of a request; may raise `RefusedError`."""
        ...

    def finish(self) -> None:
        """Raise `RefusedError` if the body is refused, which has been read to its end."""
        ...

    def refusal(self) -> RefusedError:
        """Return the refusal of a body that cannot be read any further."""
        ...


class CreateReader(Generic[R]):
    """A `BodyReader` for a create in a `CreateFormat`: each input line is one request, its content untouched."""

    def __init__(self, decoder: ContentDecoder, form: CreateFormat[R], faults: CreateFaults | None = None) -> None:
        self._decoder = decoder
        self._form = form
        self._text = Utf8Decoder()
        self._rest: Iterator[bytes] = iter(())
        self._window = bytearray()
        self._in_requests = False
        self._next_cut_at = WINDOW
        self._received = 0
        self._consumed = 0
        self._seen: dict[str, int] = {}
        self._count = 0
        self._faults = faults or RefusingFaults(has_codes=form.has_codes)

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed."""
        return not isinstance(self._decoder, IdentityDecoder)

    def begin(self, data: bytes) -> bool:
        """Read the next bytes up to the first request, and return whether it begins in them.

        For callers that must know whether there are requests before they pass the reader to the engine.
        """
        self._rest = self._decoder.decode(data)
        return any(self._take(piece) for piece in self._rest)

    def without_requests(self) -> bytes:
        """Return the whole body, at its end, if no requests began."""
        self._finish_text()
        return bytes(self._window)

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Read the next bytes and yield the complete, valid input lines, a window at a time."""
        for piece in chain(self._rest, self._decoder.decode(data)):
            if self._take(piece) and len(self._window) >= self._next_cut_at:
                yield self._cut_window()

    def finish(self) -> list[bytes]:
        """Read the end of the body and return the last lines."""
        self._finish_text()
        if not self._in_requests:
            self._enter_requests(at_end=True)
        window = bytes(self._window)
        end = self._form.tail(window)
        lines = None if end is None else self._read(b"[%b]" % window[:end])
        if lines is None:
            self._refuse_lone_surrogate(window)
            raise self._form.invalid_end(window, self._consumed)
        if self._count and not window[:end].strip(BLANK):
            raise refuse_malformed("trailing comma in array", self._consumed + (end or 0))
        if not self._count:
            raise refuse("requests: there must be at least 1 request", param="requests")
        self._faults.finish()
        return lines

    def _take(self, piece: bytes) -> bool:
        """Append decoded bytes, and return whether the requests have begun."""
        self._received += len(piece)
        if self._received > MAX_BODY:
            raise _too_large_after_decoding()
        self._append(self._text.decode, piece)
        if not self._in_requests:
            self._enter_requests(at_end=False)
        return self._in_requests

    def _finish_text(self) -> None:
        self._decoder.finish()
        self._append(self._text.finish)

    def _append(self, decode: Callable[..., bytes], *data: bytes) -> None:
        try:
            self._window += decode(*data)
        except UnicodeDecodeError as error:
            raise refuse(INVALID_UTF16) from error

    def _enter_requests(self, *, at_end: bool) -> None:
        start = self._form.head(self._window, at_end=at_end)
        if start is not None:
            self._in_requests = True
            self._consumed = start
            del self._window[:start]

    def _cut_window(self) -> list[bytes]:
        end = _last_between(self._window, self._form.between)
        lines = None if end is None else self._read(self._array(end))
        if lines is not None and end is not None:
            self._consume(end + 1)
            return lines
        if len(self._window) > MAX_WINDOW:
            return self._walk_window()
        self._next_cut_at = min(2 * len(self._window), MAX_WINDOW + 1)
        return []

    def _array(self, end: int) -> bytes:
        """Return the window up to a position as an array, with a single copy."""
        with memoryview(self._window) as window, window[:end] as requests:
            return b"".join((b"[", requests, b"]"))

    def _walk_window(self) -> list[bytes]:
        """Cut at the last real comma between two requests; others may only look like one."""
        window = bytes(self._window)
        self._refuse_lone_surrogate(window)
        lines: list[bytes] = []
        end = 0
        for request, behind in array_items(window):
            lines += self._read_one(request)
            end = behind
        if not end:
            last = end_of_array(window)
            if last is None or last > MAX_WINDOW:
                raise _request_too_large(self._count)
            self._read_one(window[: window.rindex(b"]", 0, last)])  # refuses it if it is too large
            raise self._form.oversized_end()
        self._consume(end)
        return lines

    def _consume(self, end: int) -> None:
        self._consumed += end
        del self._window[:end]
        self._next_cut_at = WINDOW

    def _read(self, array: bytes) -> list[bytes] | None:
        """Decode an array of whole requests; None if it ends inside one."""
        try:
            if not array.isascii():
                array.decode()
            return self._lines(self._form.many.decode(array))
        except UnicodeDecodeError as error:
            raise refuse_malformed("it is not UTF-8", self._consumed + error.start - 1) from error
        except (msgspec.ValidationError, RecursionError):
            return self._read_one_by_one(array[1:-1])
        except msgspec.DecodeError as error:
            self._check_truncated(error, array[1:-1])
            return None

    def _read_one_by_one(self, window: bytes) -> list[bytes] | None:
        """Decode requests of which at least one is invalid, and record each fault."""
        try:
            _ANY.decode(b"[%b]" % window)
        except RecursionError as error:
            for request, _ in array_items(window):
                self._read_one(request)
            self._faults.add(BodyFault("", "Invalid JSON: nested too deeply"), self._count, None)
            raise self._faults.refusal() from error
        except msgspec.DecodeError as error:
            self._check_truncated(error, window)
            return None
        return [line for request, _ in array_items(window + b",") for line in self._read_one(request)]

    def _read_one(self, request: bytes) -> list[bytes]:
        try:
            decoded = self._form.one.decode(request)
            request.decode()
            return self._lines([decoded])
        except DECODING_ERRORS as error:
            self._faults.add(decoding_fault(error, self._form.model), self._count, _custom_id(request))
            if not isinstance(error, msgspec.ValidationError):
                raise self._faults.refusal() from error  # the start of the next request is uncertain
            self._count += 1
            return []

    def _lines(self, requests: list[R]) -> list[bytes]:
        lines = []
        content_of, line_of, seen = self._form.content, self._form.line, self._seen
        for request in requests:
            custom_id, content = request.custom_id, content_of(request)
            first = seen.setdefault(custom_id, self._count)
            if isinstance(content, bytes) and len(content) > MAX_REQUEST:
                raise _request_too_large(self._count)
            if first != self._count:
                self._faults.add(_duplicate(custom_id, first), self._count, custom_id)
            elif isinstance(content, BodyFault):
                self._faults.add(content, self._count, custom_id)
            elif not self._faults.drops_requests:
                self._faults.accept(self._count)
                lines.append(line_of(custom_id, _in_one_line(content)))
            self._count += 1
        if self._count > MAX_REQUESTS:
            raise refuse(f"requests: there may be at most {MAX_REQUESTS} requests", param="requests")
        return lines

    def _check_truncated(self, error: msgspec.DecodeError, window: bytes) -> None:
        """Accept a window that ends inside a request or after the array; raises for any other fault."""
        self._refuse_lone_surrogate(window)
        if "truncated" not in str(error) and "trailing characters" not in str(error):
            raise refuse_json(error, self._consumed - 1) from error

    def _refuse_lone_surrogate(self, window: bytes) -> None:
        """Refuse a lone surrogate, which makes the window undecodable, with the number of its request."""
        found = find_lone_surrogate(window)
        if found is None:
            return
        place, written = found
        seq = self._count + sum(behind <= place for _, behind in islice(array_items(window), MAX_REQUESTS))
        what = f"{written} is a lone surrogate, half of a character (byte {self._consumed + place} of the body)"
        self._faults.add(BodyFault("", f"Invalid JSON: {what}"), seq, None)
        raise self._faults.refusal()


def _last_between(window: bytearray, between: re.Pattern[bytes]) -> int | None:
    """Find the last comma that looks like one between two requests."""
    start = len(window)
    while start > 0:
        start = max(0, start - MAX_HEAD)
        found = [match.start(1) for match in between.finditer(window, start, min(len(window), start + 2 * MAX_HEAD))]
        if found:
            return found[-1]
    return None


def _custom_id(request: bytes) -> str | None:
    """Return the custom_id of a request that is invalid in another field."""
    try:
        return _CUSTOM_ID.decode(request).custom_id
    except DECODING_ERRORS:
        return None


def _duplicate(custom_id: str, first: int) -> BodyFault:
    message = f"{custom_id!r} is already the custom_id of requests.{first}; each must be unique"
    return BodyFault("custom_id", message, DUPLICATE_CUSTOM_ID)


def _in_one_line(content: bytes) -> bytes:
    """Replace line ends by spaces; valid JSON has raw line ends only outside of strings."""
    return content.translate(_NEWLINES) if b"\n" in content or b"\r" in content else content


def _request_too_large(seq: int) -> RefusedError:
    return RefusedError("request_too_large", f"requests.{seq}: one request may have at most {MAX_REQUEST} bytes")


def _too_large_after_decoding() -> RefusedError:
    return RefusedError(
        "request_too_large",
        f"the body may have at most {MAX_BODY} bytes after decoding",
        code="request_body_too_large_after_decoding",
    )
