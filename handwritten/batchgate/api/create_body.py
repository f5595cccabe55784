"""Reads the body of a create, an object with an array ``requests``, as it arrives.

What stands around the array and in it is the matter of a `Form`, one for each surface. The array is cut in windows that
end between two requests. A window is decoded by msgspec as an array of its own. Since JSON is read from left to right
in one way only, a window that decodes was cut in the right place, and one that turns out to be cut inside a request is
tried again when more has come. Where to cut is guessed, since a request may hold what looks like another; where the
guess stays wrong, the window is walked token by token. So neither the body nor a tree of it is ever held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from batchgate.api.body_errors import REPEATED, Fault, decoding_fault, invalid, malformed, not_json
from batchgate.api.content_encoding import ContentDecoder, IdentityDecoder
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, find_lone_surrogate
from batchgate.engine.model.errors import RefusedError

WINDOW = 1024 * 1024
MAX_BODY = 256 * 1024 * 1024
MAX_REQUEST = 32 * 1024 * 1024
MAX_REQUESTS = 100_000
MAX_PROBLEMS = 50
"""How many bad requests one refusal names."""
MAX_HEAD = 64 * 1024
"""How many bytes may stand before the first request, after the last, and in one request besides its own object."""
MAX_WINDOW = MAX_REQUEST + MAX_HEAD
"""How far a window grows that cannot be cut; it then holds more than one request, or one too large."""

BLANK: Final = b" \t\r\n"

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|([\[{])|([\]}])|(,)', re.DOTALL)
"""A string, be it cut off by the end, or one of the groups: what opens, what closes, a comma."""
_OPENS, _CLOSES, _COMMA = 1, 2, 3
_NEWLINES: Final = bytes.maketrans(b"\r\n", b"  ")
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)


class Request(Protocol):
    """One request, as a surface writes it."""

    @property
    def custom_id(self) -> str:
        """The caller's name for it."""
        ...


R = TypeVar("R", bound=Request)


class Form(Protocol[R]):
    """How a surface writes a create; made for one body, as it may keep in mind what it has read of it."""

    coded: bool
    """Whether the errors of the surface have a code for what is wrong with a request."""
    one: msgspec.json.Decoder[R]
    many: msgspec.json.Decoder[list[R]]
    between: re.Pattern[bytes]
    """Finds what seems to stand between two requests; its first group is the comma."""

    @property
    def model(self) -> type[msgspec.Struct]:
        """A request."""
        ...

    def head(self, window: bytes | bytearray, *, at_end: bool) -> int | None:
        """Find where the first request begins; None if more must come. Raises `RefusedError` if it is no create."""
        ...

    def tail(self, window: bytes) -> int | None:
        """Find the end of the last request, and take what follows it; None if the body does not end as it should."""
        ...

    def wrong_end(self, window: bytes, place: int) -> RefusedError:
        """Say what is wrong with a body that does not end as it should; its last bytes begin at ``place``."""
        ...

    def overlong_end(self) -> RefusedError:
        """Say that too much comes after the array."""
        ...

    def content(self, request: R) -> bytes | Fault:
        """Take the object of the request itself, its params or body, or say what is wrong with the request."""
        ...

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Write an input line."""
        ...


class CreateReader(Generic[R]):
    """A `BodyReader` for a create in a `Form`: each input line is one request, its content untouched."""

    def __init__(self, decoder: ContentDecoder, form: Form[R]) -> None:
        self._decoder = decoder
        self._form = form
        self._rest: Iterator[bytes] = iter(())
        self._window = bytearray()
        self._in_requests = False
        self._try_at = WINDOW
        self._received = 0
        self._passed = 0
        self._seen: dict[str, int] = {}
        self._count = 0
        self._faults: list[Fault] = []

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed."""
        return not isinstance(self._decoder, IdentityDecoder)

    def begin(self, data: bytes) -> bool:
        """Take the next bytes as sent, up to the first request, and tell if it begins in them.

        For callers who want to know before they let an engine `feed` what comes next, nothing if need be.
        """
        self._rest = self._decoder.decode(data)
        return any(self._take(piece) for piece in self._rest)

    def without_requests(self) -> bytes:
        """Take the end of a body in which no requests began, and return the body."""
        self._decoder.finish()
        return bytes(self._window)

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Take the next bytes as sent and yield the input lines that are complete and valid, a window at a time."""
        for piece in chain(self._rest, self._decoder.decode(data)):
            if self._take(piece) and len(self._window) >= self._try_at:
                yield self._cut_window()

    def finish(self) -> list[bytes]:
        """Take the end of the body and return the last lines."""
        self._decoder.finish()
        if not self._in_requests:
            self._enter_requests(at_end=True)
        window = bytes(self._window)
        end = self._form.tail(window)
        lines = None if end is None else self._read(b"[%b]" % window[:end])
        if lines is None:
            self._refuse_lone_surrogate(window)
            raise self._form.wrong_end(window, self._passed)
        if self._count and not window[:end].strip(BLANK):
            raise malformed("trailing comma in array", self._passed + (end or 0))
        if not self._count:
            raise invalid("requests: there must be at least 1 request", param="requests")
        if self._faults:
            raise self._refusal()
        return lines

    def _take(self, piece: bytes) -> bool:
        """Add the next bytes of the body, and tell if the requests have begun."""
        self._received += len(piece)
        if self._received > MAX_BODY:
            raise _too_large_after_decoding()
        self._window += piece
        if not self._in_requests:
            self._enter_requests(at_end=False)
        return self._in_requests

    def _enter_requests(self, *, at_end: bool) -> None:
        start = self._form.head(self._window, at_end=at_end)
        if start is not None:
            self._in_requests = True
            self._passed = start
            del self._window[:start]

    def _cut_window(self) -> list[bytes]:
        end = _last_between(self._window, self._form.between)
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
        if not end and _is_left(bytes(self._window)):
            raise self._form.overlong_end()
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
            return self._lines(self._form.many.decode(array))
        except UnicodeDecodeError as error:
            raise malformed("it is not UTF-8", self._passed + error.start - 1) from error
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
            self._note(Fault("", "Invalid JSON: nested too deeply"), self._count)
            raise self._refusal() from error
        except msgspec.DecodeError as error:
            self._let_pass_if_cut(error, window)
            return None
        return [line for request, _ in _walk(window + b",") for line in self._read_one(request)]

    def _read_one(self, request: bytes) -> list[bytes]:
        try:
            request.decode()
            return self._lines([self._form.one.decode(request)])
        except DECODING_ERRORS as error:
            self._note(decoding_fault(error, self._form.model), self._count)
            if not isinstance(error, msgspec.ValidationError):
                raise self._refusal() from error  # where the next request begins is not known for certain
            self._count += 1
            return []

    def _lines(self, requests: list[R]) -> list[bytes]:
        lines = []
        content_of, line_of, seen = self._form.content, self._form.line, self._seen
        for request in requests:
            custom_id, content = request.custom_id, content_of(request)
            first = seen.setdefault(custom_id, self._count)
            if first != self._count:
                self._note(_repeated(custom_id, first), self._count)
            elif isinstance(content, Fault):
                self._note(content, self._count)
            elif len(content) > MAX_REQUEST:
                raise _request_too_large(self._count)
            elif not self._faults:
                lines.append(line_of(custom_id, _in_one_line(content)))
            self._count += 1
        if self._count > MAX_REQUESTS:
            raise invalid(f"requests: there may be at most {MAX_REQUESTS} requests", param="requests")
        return lines

    def _note(self, fault: Fault, seq: int) -> None:
        self._faults.append(fault.under(f"requests.{seq}"))
        if len(self._faults) == MAX_PROBLEMS:
            raise self._refusal()

    def _refusal(self) -> RefusedError:
        more = " (more may follow: only the first are named)" if len(self._faults) == MAX_PROBLEMS else ""
        first = self._faults[0]
        code = first.code if self._form.coded else None
        return invalid("; ".join(map(str, self._faults)) + more, param=first.path, code=code)

    def _let_pass_if_cut(self, error: msgspec.DecodeError, window: bytes) -> None:
        """Let requests pass that end inside of one, or beyond the array; raises for any other fault."""
        self._refuse_lone_surrogate(window)
        if "truncated" not in str(error) and "trailing characters" not in str(error):
            raise not_json(error, self._passed - 1) from error

    def _refuse_lone_surrogate(self, window: bytes) -> None:
        """Name the request that has one, as the window cannot be decoded because of it."""
        found = find_lone_surrogate(window)
        if found is None:
            return
        place, written = found
        seq = self._count + sum(behind <= place for _, behind in _walk(window))
        what = f"{written} is a lone surrogate, half of a character (byte {self._passed + place} of the body)"
        self._note(Fault("", f"Invalid JSON: {what}"), seq)
        raise self._refusal()


def _last_between(window: bytearray, between: re.Pattern[bytes]) -> int | None:
    """Find the last comma that seems to stand between two requests."""
    start = len(window)
    while start > 0:
        start = max(0, start - MAX_HEAD)
        found = [match.start(1) for match in between.finditer(window, start, min(len(window), start + 2 * MAX_HEAD))]
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
        if depth < 0:
            return


def _is_left(window: bytes) -> bool:
    """Tell if a window goes beyond the end of the array."""
    depth = 0
    for token in _TOKEN.finditer(window):
        depth += (token.lastindex == _OPENS) - (token.lastindex == _CLOSES)
        if depth < 0:
            return True
    return False


def _repeated(custom_id: str, first: int) -> Fault:
    message = f"{custom_id!r} is already the custom_id of requests.{first}; each must be unique"
    return Fault("custom_id", message, REPEATED)


def _in_one_line(content: bytes) -> bytes:
    """Take the line ends out: outside of strings, where JSON has no raw control characters, a space is as good."""
    return content.translate(_NEWLINES) if b"\n" in content or b"\r" in content else content


def _request_too_large(seq: int) -> RefusedError:
    return RefusedError("request_too_large", f"requests.{seq}: one request may have at most {MAX_REQUEST} bytes")


def _too_large_after_decoding() -> RefusedError:
    return RefusedError(
        "request_too_large",
        f"the body may have at most {MAX_BODY} bytes after decoding",
        code="request_body_too_large_after_decoding",
    )
