"""Reads the body of an upload, multipart/form-data with its fields in any order, while it arrives.

The content of the file is passed on in pieces, so that memory never holds it. The other fields are small; they are
checked against the generated model of the form at the end of the body.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from email.message import Message
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import hdrs
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from batchgate.api.binding import value_or_none
from batchgate.api.content_encoding import ContentDecoder, IdentityDecoder
from batchgate.api.provider_names import ProviderNames, one_provider
from batchgate.api.request_errors import refuse_input, refuse_missing
from batchgate.engine.intake.upload_writer import MAX_FILE
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import Upload
from batchgate_api.anthropic import UploadAnthropicFile
from batchgate_api.gateway import UploadUnifiedFile
from batchgate_api.openai import CreateFile

Form: TypeAlias = CreateFile | UploadUnifiedFile | UploadAnthropicFile

MAX_FIELD: Final = 1024
"""Maximum bytes of a field other than the file."""
MAX_BESIDES: Final = 64 * 1024
"""Maximum bytes of the body besides the file: other fields and boundaries."""
MAX_BODY: Final = MAX_FILE + MAX_BESIDES
MAX_FILENAME: Final = 512  # characters
UNNAMED: Final = "upload"
"""The name of a file without a name."""
DEFAULT_PURPOSE: Final = "user_data"
"""The purpose of files of the Anthropic surface, where none has to be named."""
FILE: Final = "file"
PURPOSE: Final = "purpose"
ANCHOR: Final = "expires_after[anchor]"
SECONDS: Final = "expires_after[seconds]"
_CONTENT: Final = b"-"
"""Stands for the content when the form is checked; the content has been passed on."""
_PLAIN_ENCODINGS: Final = ("binary", "8bit", "7bit")
_EXTENDED_NAME: Final = re.compile(r";\s*filename\*\s*=\s*\"?(?:utf-8|iso-8859-1)'[^']*'([^\s;\"]+)", re.IGNORECASE)
_UNQUOTED_NAME: Final = re.compile(r";\s*filename\s*=\s*([^\s\";][^;]*)", re.IGNORECASE)
"""A name that the parser would cut off at the first character that only a quoted name may have."""
_QUOTED_NAME: Final = re.compile(r";\s*filename\s*=\s*\"", re.IGNORECASE)
_NO_BOUNDARY: Final = "its Content-Type has no boundary; let the HTTP client write this header"
_PLAIN_WORDS: Final = {
    "line break": "its lines end with LF alone; they must end with CR LF",
    "malformed segment header": "a part has a line in its head without a colon, or without CR LF at its end",
    "in front of first boundary": "the first boundary is not at the start of a line that follows CR LF",
    "after first boundary": "other bytes follow the first boundary in its line",
    "after boundary": "other bytes follow a boundary in its line",
    "end of multipart stream": (
        "it ends before its closing boundary; the boundary of its Content-Type must be that of the body, between lines "
        "that end with CR LF"
    ),
}
"""Messages by a part of the parser's own."""
_SEPARATOR: Final = re.compile(r"[/\\]")
_HEADER_CHARSET: Final = "latin-1"
"""How the parser decodes the headers of parts; it maps every byte to one character, so the bytes can be restored."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn text round: a name must not be shown as another one."""
_MIME_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
"""A media type of RFC 6838, in lower case."""
_UNKNOWN_TYPE: Final = "application/octet-stream"
"""What HTTP clients state for content that they know nothing about."""


class _Fields(Struct, frozen=True, kw_only=True):
    """The fields of a form beside the file; None for those that were not sent or that the form does not have."""

    purpose: str
    provider: str | None = None
    lifetime: int | None = None
    filename: str | None = None
    mime_type: str | None = None


class UploadForm:
    """An `UploadReader` for the form of a model.

    ``provider`` is the provider given outside of the form, and ``default`` the one for uploads that name none. Without
    one, the error names the ``places`` for it. ``ignored`` are the fields that have no effect.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        decoder: ContentDecoder,
        model: type[Form],
        *,
        names: ProviderNames,
        provider: str | None = None,
        default: str | None = None,
        places: str = "in the form",
        ignored: Collection[str] = (),
    ) -> None:
        self._decoder = decoder
        self._model = model
        self._provider_names = names
        self._provider = provider
        self._default = default
        self._places = places
        self._ignored = ignored
        self._names = [field.encode_name for field in msgspec.structs.fields(model)]
        self._received = 0
        self._fields: dict[str, bytearray] = {}
        self._filename: str | None = None
        self._mime_type: str | None = None
        self._field: bytearray | None = None
        try:
            self._parser = PushMultipartParser(
                _boundary(headers[hdrs.CONTENT_TYPE]),
                max_segment_count=len(self._names) + 1,
                header_charset=_HEADER_CHARSET,
            )
        except ValueError as error:
            raise _malformed(error) from error

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed."""
        return not isinstance(self._decoder, IdentityDecoder)

    @property
    def sent(self) -> Collection[str]:
        """The names of the fields beside the file that have arrived."""
        return self._fields.keys()

    @property
    def purpose(self) -> str | None:
        """The purpose, if it has arrived; it is not checked yet."""
        found = self._fields.get(PURPOSE)
        return None if found is None or found is self._field else found.decode(errors="replace")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Read the next bytes and yield those that are the file's content."""
        for piece in self._decoder.decode(data):
            self._received += len(piece)
            if self._received > MAX_BODY:
                raise RefusedError("request_too_large", f"the body may have at most {MAX_BODY} bytes after decoding")
            yield from self._content(piece)

    def finish(self) -> Upload:
        """Check the end of the body, and return the other fields."""
        self._decoder.finish()
        try:
            for _ in self._parser.parse(b""):
                pass
        except MultipartError as error:
            raise _malformed(error) from error
        if self._filename is None:
            raise refuse_missing(FILE)
        fields = _fields(self._form())
        named = self._provider_names.find(fields.provider, None)
        provider = one_provider(self._provider, named) or self._default
        if provider is None:
            raise self._provider_names.missing(self._places)
        return Upload(
            purpose=fields.purpose,
            filename=fields.filename or self._filename,
            provider=provider,
            lifetime=fields.lifetime,
            mime_type=fields.mime_type or self._mime_type,
        )

    def _form(self) -> Form:
        values: dict[str, str | bytes] = {FILE: _CONTENT}
        for name, value in self._fields.items():
            try:
                values[name] = value.decode()
            except UnicodeDecodeError as error:
                raise _invalid_field(name, "it is not UTF-8") from error
        try:
            return msgspec.convert(values, self._model, strict=False)
        except msgspec.ValidationError as error:
            raise refuse_input(error, self._model) from error

    def _content(self, piece: bytes) -> Iterator[bytes]:
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    self._begin_field(event)
                elif event is None:
                    self._field = None
                elif self._field is None:
                    yield event
                else:
                    self._append(event)
        except MultipartError as error:
            raise _malformed(error) from error

    def _begin_field(self, part: MultipartSegment) -> None:
        name = _decode_text((part.name or "").encode(_HEADER_CHARSET))
        if name not in self._names:
            known = ", ".join(known for known in self._names if known not in self._ignored)
            raise _invalid_field(
                name[:MAX_FIELD], f"it is not a field of an upload; those are {known}", code="unknown_parameter"
            )
        if name in self._fields or (name == FILE and self._filename is not None):
            raise _invalid_field(name, "it is given twice; give it once")
        if part.header("Content-Transfer-Encoding", "binary").lower() not in _PLAIN_ENCODINGS:
            raise _invalid_field(name, "it has a Content-Transfer-Encoding; send it as it is")
        if name == FILE:
            self._filename = _filename(part)
            self._mime_type = _mime_type(part.content_type)
        else:
            self._field = self._fields[name] = bytearray()

    def _append(self, data: bytes) -> None:
        assert self._field is not None
        self._field += data
        if len(self._field) > MAX_FIELD:
            name = next(name for name, value in self._fields.items() if value is self._field)
            raise _invalid_field(name, f"it may have at most {MAX_FIELD} bytes")


def _fields(form: Form) -> _Fields:
    """Return the fields of a form; raises `RefusedError` if one is missing beside another."""
    name = value_or_none(form.filename)
    filename = None if name is None else _last_part(name)
    if isinstance(form, UploadAnthropicFile):
        lifetime = value_or_none(form.expires_in_seconds)
        return _Fields(purpose=value_or_none(form.purpose) or DEFAULT_PURPOSE, lifetime=lifetime, filename=filename)
    anchor, seconds = value_or_none(form.expires_after_anchor_), value_or_none(form.expires_after_seconds_)
    if (anchor is None) != (seconds is None):
        raise refuse_missing(ANCHOR if anchor is None else SECONDS)
    return _Fields(
        purpose=form.purpose,
        provider=value_or_none(form.provider),
        lifetime=seconds,
        filename=filename,
        mime_type=_mime_type(value_or_none(form.content_type)),
    )


def _boundary(content_type: str) -> str:
    declared = Message()
    declared[hdrs.CONTENT_TYPE] = content_type
    if boundary := declared.get_boundary(""):
        return boundary
    raise ValueError(_NO_BOUNDARY)


def _filename(part: MultipartSegment) -> str:
    """Return the last part of the file's path, also from ``filename*`` (RFC 8187); the path may be of any system."""
    header = part.header("Content-Disposition")
    extended = _EXTENDED_NAME.search(header)
    unquoted = None if _QUOTED_NAME.search(header) else _UNQUOTED_NAME.search(header)
    name = unquoted[1].strip() if unquoted else part.filename or ""
    written = (extended[1] if extended else name).encode(_HEADER_CHARSET)
    return _last_part(_decode_text(unquote_to_bytes(written) if extended else written))


def _last_part(path: str) -> str:
    """Return the last part of a path; raises `RefusedError` if it is no valid name."""
    name = _SEPARATOR.split(path)[-1] or UNNAMED
    if len(name) > MAX_FILENAME or _CONTROL.search(name):
        raise _invalid_field(FILE, f"its name may have at most {MAX_FILENAME} characters, and no control characters")
    return name


def _mime_type(content_type: str | None) -> str | None:
    """Return a media type without its parameters; None for one that says nothing."""
    stated = (content_type or "").partition(";")[0].strip().lower()
    return stated if _MIME_TYPE.fullmatch(stated) and stated != _UNKNOWN_TYPE else None


def _decode_text(text: bytes) -> str:
    """Decode UTF-8, or else Latin-1, which older clients send."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _invalid_field(name: str, problem: str, *, code: str | None = None) -> RefusedError:
    return RefusedError("invalid_request_error", f"{name}: {problem}", param=name, code=code)


def _malformed(error: ValueError) -> RefusedError:
    said = str(error)
    problem = next((words for text, words in _PLAIN_WORDS.items() if text.lower() in said.lower()), said)
    return RefusedError("invalid_request_error", f"the body is not valid multipart/form-data: {problem}")
