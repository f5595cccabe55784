"""Reads the input file of an OpenAI batch as it arrives, and reports every invalid line.

Harmless variations are normalized: a byte order mark, UTF-16 with one, CRLF, blank lines, spaces around a line, a
missing last newline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.engine.model.batch import InputFault
from batchgate.engine.model.batch_endpoint import ENDPOINTS, BatchEndpoint
from batchgate.engine.model.decoding_errors import (
    DECODING_ERRORS,
    FIELD_REQUIRED,
    DecodingError,
    DocumentFault,
    describe_decoding_error,
)
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.text_encoding import Utf8Decoder
from batchgate.providers.dialects.checked_body import CONTENT_FIELDS, CheckedBody
from batchgate.providers.dialects.endpoint_urls import EndpointUrl
from batchgate.providers.dialects.input_file_faults import InputFileFaults, json_fault, shortened
from batchgate.providers.dialects.own_models import own_model
from batchgate.providers.dialects.rules import NO_STREAM

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""Maximum size of a line in bytes."""
MAX_REQUESTS: Final = 50_000
MAX_PREFIXES: Final = 1_000
"""Maximum number of model prefixes that are kept; a gateway has fewer accounts."""
READ_BYTES: Final = 1024 * 1024
"""Number of bytes that are split into lines at once."""
NOT_JSON: Final = "This line is not parseable as valid JSON."
INVALID_UTF16: Final = "The file begins with a byte order mark of UTF-16, but is not valid UTF-16; it should be UTF-8."

_MAX_STORED_ID: Final = 64
"""Maximum characters of a custom_id that is stored itself; a longer one is stored as a hash."""
_BLANK: Final = b" \t\r\n"
_LINES: Final = re.compile(rb"[^\n]*\n")


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    """`BatchInputLine` with an unchecked method and url, which have their own error messages."""

    custom_id: str
    method: str
    url: str
    body: Raw


class _CustomIdOnly(Struct, frozen=True):
    custom_id: str


class _CanonicalLine(Struct, frozen=True, forbid_unknown_fields=True):
    """A line with the checked fields of its body, to decode it in one step."""

    custom_id: str
    method: str
    url: str
    body: CheckedBody


_CANONICAL_LINE: Final = msgspec.json.Decoder(_CanonicalLine)
_LINE: Final = msgspec.json.Decoder(_Line)
_CUSTOM_ID_ONLY: Final = msgspec.json.Decoder(_CustomIdOnly)
_BODY: Final = msgspec.json.Decoder(CheckedBody)
_ANY: Final = msgspec.json.Decoder(Raw)
_ENCODER: Final = msgspec.json.Encoder()
_NULL: Final = Raw(b"null")


class InputFileReader:
    """A `FileReader` for requests of one kind other than Messages.

    It yields lines that `OpenAIRows.read` accepts: compact, with an unchanged body. After the first fault it yields no
    more lines, unless it ``keeps_valid_lines``, but still collects faults. It keeps only the incomplete line, the
    custom_ids and the line numbers in memory.
    """

    def __init__(
        self,
        kind: RowKind,
        *,
        endpoint: BatchEndpoint | None = None,
        has_default_model: bool = False,
        keeps_valid_lines: bool = False,
    ) -> None:
        self._url = EndpointUrl(endpoint or ENDPOINTS[kind])
        self._content = CONTENT_FIELDS[kind]
        self._after_id = _after_id(self._url.endpoint)
        self._canonical_after_id = b'"%s{' % self._after_id
        self._has_default_model = has_default_model
        self._keeps_valid_lines = keeps_valid_lines
        self._places: list[int] = []
        self._text = Utf8Decoder()
        self._is_undecodable = False
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._lf_only = True
        self._line_number = 0
        self._requests = 0
        self._over_limit = False
        self._first_lines: dict[str | bytes, int] = {}
        self._faults = InputFileFaults()
        self._custom_id: str | None = None
        """The custom_id of the present line, if it has one."""
        self._prefixes: dict[str, int] = {}
        self._model: str | None = None
        self._models_differ = False
        self._uses_default_model = False

    @property
    def is_compressed(self) -> bool:
        """Always False: files are stored unchanged."""
        return False

    @property
    def faults(self) -> Sequence[InputFault]:
        """The faults so far, in the order of the lines and at most one for each line, with OpenAI's codes."""
        return self._faults.found

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the lines that were yielded."""
        return self._places

    @property
    def over_limit(self) -> bool:
        """Whether the file has more requests than a batch may have."""
        return self._over_limit

    @property
    def model_prefixes(self) -> Mapping[str, int]:
        """The prefixes before a slash in the models, at most `MAX_PREFIXES`, with the number of their first line."""
        return self._prefixes

    def common_model(self, default: str | None) -> str | None:
        """Return the model of all requests; None if they differ. ``default`` is the model of those that name none."""
        if self._models_differ or (self._uses_default_model and self._model not in (None, default)):
            return None
        return self._model or default

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Read the next bytes and yield the lines that are complete."""
        text = self._decode(self._text.decode, data)
        for start in range(0, len(text), READ_BYTES):
            lines = self._complete_lines(text[start : start + READ_BYTES])
            if lines:
                yield lines

    def finish(self) -> list[bytes]:
        """Read the end of the file and return its last line."""
        self._keep_partial_line(self._decode(self._text.finish))
        lines = self._complete_lines(b"\n") if self._pending_bytes else []
        if not self._requests and not self._is_undecodable:
            self._faults.add_to_file("empty_file", "The file has no requests; it should have at least one line.")
        return lines

    def _decode(self, decode: Callable[..., bytes], *data: bytes) -> bytes:
        """Return the next bytes as UTF-8; nothing after invalid UTF-16, which is a fault of the file."""
        if self._is_undecodable:
            return b""
        try:
            return decode(*data)
        except UnicodeDecodeError:
            self._is_undecodable = True
            self._pending, self._pending_bytes = [], 0
            self._faults.add_to_file("invalid_json_line", INVALID_UTF16)
            return b""

    def _complete_lines(self, piece: bytes) -> list[bytes]:
        end = piece.rfind(b"\n") + 1
        if not end:
            self._keep_partial_line(piece)
            return []
        first_size = self._pending_bytes
        text = b"".join((*self._pending, piece[:end]))
        self._pending, self._pending_bytes = [], 0
        self._keep_partial_line(piece[end:])
        if first_size <= MAX_LINE_BYTES and _is_blank(text):
            self._line_number += text.count(b"\n")
            return []
        self._lf_only = b"\r" not in text  # splitlines would also split at a lone CR
        lines = text.splitlines(keepends=True) if self._lf_only else _LINES.findall(text)
        if first_size > MAX_LINE_BYTES:
            self._check_line(None)
            del lines[0]
        read = [self._check_line(line) for line in lines]
        return [line for line in read if line is not None]

    def _keep_partial_line(self, piece: bytes) -> None:
        """Keep the beginning of a line; of a line that is too long, keep only the size."""
        self._pending_bytes += len(piece)
        if self._pending_bytes > MAX_LINE_BYTES:
            self._pending.clear()
        elif piece:
            self._pending.append(piece)

    def _check_line(self, line: bytes | None) -> bytes | None:
        """Check the next line; return the line to yield, or None. ``line`` is None if it was too long to keep."""
        self._line_number += 1
        self._custom_id = None
        if self._over_limit:
            return None
        if line is not None and _is_blank(line):
            return None
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            self._over_limit = True
            self._faults.add_to_file(
                "too_many_tasks", f"The file has more than {MAX_REQUESTS} requests; split it into several."
            )
            return None
        if line is None or len(line) > MAX_LINE_BYTES:
            self._add_line_fault("request_too_large", f"This line has more than {MAX_LINE_BYTES} bytes.")
            return None
        faults = len(self.faults)
        checked = self._checked(line)
        if len(self.faults) > faults or (faults and not self._keeps_valid_lines):
            return None
        self._places.append(self._line_number)
        return checked

    def _checked(self, line: bytes) -> bytes | None:
        """Return a line as it is yielded; whether it has a fault is seen by the faults."""
        canonical_id = self._canonical_custom_id(line)
        if canonical_id is None:
            return self._rewritten(line)
        self._is_new(canonical_id)
        return line

    def _canonical_custom_id(self, line: bytes) -> str | None:
        """Return the custom_id of a valid line that can stay unchanged; None for any other line.

        Most lines are of this form, and this check takes half the time of `_rewritten`.
        """
        if self._url.is_own or not (self._lf_only and line.isascii()):
            return None
        try:
            found = _CANONICAL_LINE.decode(line)
        except DECODING_ERRORS:
            return None
        body = found.body
        is_complete = self._has_model(body) and self._has_content(body)
        start = b'{"custom_id":"%s%s' % (found.custom_id.encode(), self._canonical_after_id)
        return found.custom_id if is_complete and body.stream is UNSET and line.startswith(start) else None

    def _rewritten(self, line: bytes) -> bytes | None:
        try:
            if not line.isascii():
                line.decode()  # the decoder does not check strings that it skips
            found = _LINE.decode(line)
        except DECODING_ERRORS as error:
            self._add_decoding_fault(line, error)
            return None
        if not self._is_new(found.custom_id) or not self._matches_endpoint(found):
            return None
        body, other_model = self._url.body_with_model(found.url, bytes(found.body))
        if other_model is not None:
            message = f"The model should be that of the url, not {shortened(other_model)!r}."
            self._add_line_fault("mismatched_model", message, "body.model")
        if not self._is_valid_body(body, found.url):
            return None
        if b"\r" in body:  # white space in JSON, but a line end for other readers
            body = body.replace(b"\r", b" ")
        after_id = _after_id(found.url if self._url.is_own else self._url.endpoint)
        return b'{"custom_id":%s%s%s}\n' % (_ENCODER.encode(found.custom_id), after_id, body)

    # ---------------------------------------------------------------- faults

    def _add_decoding_fault(self, line: bytes, error: DecodingError) -> None:
        """Add a fault for a line that does not decode: it is not JSON, or name its first invalid field."""
        try:
            _ANY.decode(line)
        except DECODING_ERRORS as no_json:
            error = no_json
        if not isinstance(error, msgspec.ValidationError):
            self._add_line_fault("invalid_json_line", f"{NOT_JSON} {json_fault(line, error)}.")
            return
        try:
            custom_id = self._custom_id = _CUSTOM_ID_ONLY.decode(line).custom_id
        except msgspec.ValidationError:
            pass
        else:
            self._first_lines.setdefault(_id_key(custom_id), self._line_number)
        self._add_problem(describe_decoding_error(error))

    def _is_new(self, custom_id: str) -> bool:
        self._custom_id = custom_id
        if not custom_id:
            self._add_line_fault(
                "invalid_request", "The custom_id is empty; each request needs a unique one.", "custom_id"
            )
            return False
        first = self._first_lines.setdefault(_id_key(custom_id), self._line_number)
        if first != self._line_number:
            message = f"The custom_id {shortened(custom_id)!r} is already used in line {first}; each must be unique."
            self._add_line_fault("duplicate_custom_id", message, "custom_id")
        return first == self._line_number

    def _matches_endpoint(self, line: _Line) -> bool:
        if line.method != "POST":
            self._add_line_fault(
                "invalid_request", f"The method should be POST, not {shortened(line.method)!r}.", "method"
            )
        elif not self._url.matches(line.url):
            message = f"The url should be {self._url.endpoint}, the endpoint of the batch, not {shortened(line.url)!r}."
            self._add_line_fault("invalid_url", message, "url")
        else:
            return True
        return False

    def _is_valid_body(self, body: bytes, url: str) -> bool:
        try:
            peek = _BODY.decode(body)
        except DECODING_ERRORS as error:
            self._add_problem(describe_decoding_error(error).with_prefix("body"))
            return False
        if self._url.is_own and not self._has_own_model(url, body):
            return False
        if not self._url.is_own and not self._has_model(peek):
            self._add_line_fault("invalid_request", "Missing required parameter: 'body.model'.", "body.model")
        elif not self._has_content(peek):
            self._add_problem(DocumentFault(f"body.{self._content[0]}", FIELD_REQUIRED))
        elif peek.stream is not UNSET and bytes(peek.stream) == b"true":
            self._add_line_fault("streaming_unsupported", f"body.stream: {NO_STREAM}", "body.stream")
        else:
            return True
        return False

    def _has_model(self, body: CheckedBody) -> bool:
        """Return whether a request has a model, its own or the default one, and keep what its own one is."""
        if body.model is UNSET:
            self._uses_default_model = True
            return self._has_default_model
        if body.model != self._model:
            self._models_differ = self._model is not None
            if self._model is None:
                self._model = body.model
            prefix, slash, _ = body.model.partition("/")
            if slash and len(self._prefixes) < MAX_PREFIXES:
                self._prefixes.setdefault(prefix, self._line_number)
        return True

    def _has_own_model(self, url: str, body: bytes) -> bool:
        """Return whether a request to a provider's own url has a model, and keep it; it has no prefix of an account."""
        try:
            model = own_model(url, body)
        except RequestError as error:
            self._add_line_fault("invalid_request", f"{shortened(error.message)}.", "body")
            return False
        self._models_differ = self._models_differ or self._model not in {None, model}
        self._model = self._model or model
        return True

    def _has_content(self, body: CheckedBody) -> bool:
        """Return whether a request has one of the fields of which its kind needs one; null is none."""
        if not self._content:
            return True
        for name in self._content:
            value = getattr(body, name)
            if value is not UNSET and value != _NULL:
                return True
        return False

    def _add_problem(self, problem: DocumentFault) -> None:
        path = shortened(problem.path)
        if problem.message == FIELD_REQUIRED:
            self._add_line_fault("missing_required_parameter", f"Missing required parameter: {path!r}.", path)
        else:
            self._add_line_fault("invalid_request", f"{shortened(str(problem))}.", path or None)

    def _add_line_fault(self, code: str, message: str, param: str | None = None) -> None:
        self._faults.add_to_line(self._line_number, self._custom_id, code, message, param)


def _after_id(url: str) -> bytes:
    """Return what follows the custom_id in a line, up to the body."""
    return b',"method":"POST","url":%s,"body":' % _ENCODER.encode(url)


def _is_blank(text: bytes) -> bool:
    return text.isspace() and not text.strip(_BLANK)  # the first check does not copy the text


def _id_key(custom_id: str) -> str | bytes:
    """Return a key of bounded size for a custom_id: itself or its hash."""
    return custom_id if len(custom_id) <= _MAX_STORED_ID else blake2b(custom_id.encode(), digest_size=16).digest()
