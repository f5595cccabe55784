"""Reads the body of an upload, multipart/form-data, as it arrives and with its fields in any order.

The content of the file is passed on piece by piece, so that neither it nor the body is ever held. The rest is small,
is kept, and is checked against the generated model of the form when the body has ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Final, TypeAlias
from urllib.parse import unquote

import msgspec
from aiohttp import hdrs
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from batchgate.api.binding import given
from batchgate.api.content_encoding import IdentityDecoder, content_decoder
from batchgate.api.request_errors import known_values, missing, wrong_input
from batchgate.engine.intake.upload_writer import MAX_FILE
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import Upload
from batchgate_api.gateway import UploadUnifiedFile
from batchgate_api.openai import CreateFile

Form: TypeAlias = CreateFile | UploadUnifiedFile

MAX_FIELD: Final = 1024
"""Bytes of any field but the file."""
MAX_BESIDES: Final = 64 * 1024
"""Bytes of the body besides the file's content: the other fields, and what stands between them."""
MAX_BODY: Final = MAX_FILE + MAX_BESIDES
MAX_FILENAME: Final = 512  # characters
UNNAMED: Final = "upload"
"""The name of a file that comes without one."""
FILE: Final = "file"
PURPOSE: Final = "purpose"
PROVIDER: Final = "provider"
ANCHOR: Final = "expires_after[anchor]"
SECONDS: Final = "expires_after[seconds]"
_CONTENT: Final = b"-"
"""Stands for the content where the form is checked; it has been passed on, and who took it refuses an empty file."""
_PLAIN_ENCODINGS: Final = ("binary", "8bit", "7bit")
_EXTENDED_NAME: Final = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^\s;\"]+)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class UploadForm:
    """An `UploadReader` for the form that a model describes.

    ``provider`` is what the request says of it outside of the form, and ``default`` what holds if nobody says anything.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        model: type[Form],
        *,
        provider: str | None = None,
        default: str | None = None,
    ) -> None:
        self._decoder = content_decoder(headers.get(hdrs.CONTENT_ENCODING))
        self._model = model
        self._provider = provider
        self._default = default
        self._names = [field.encode_name for field in msgspec.structs.fields(model)]
        self._received = 0
        self._fields: dict[str, bytearray] = {}
        self._filename: str | None = None
        self._field: bytearray | None = None
        declared = Message()
        declared[hdrs.CONTENT_TYPE] = headers[hdrs.CONTENT_TYPE]
        try:
            self._parser = PushMultipartParser(declared.get_boundary(""), max_segment_count=len(self._names) + 1)
        except ValueError as error:
            raise _malformed(error) from error

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed."""
        return not isinstance(self._decoder, IdentityDecoder)

    @property
    def purpose(self) -> str | None:
        """The purpose, if it has come already; it may be none that is known."""
        found = self._fields.get(PURPOSE)
        return None if found is None or found is self._field else found.decode(errors="replace")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes as sent and yield those of them that are the file's content."""
        for piece in self._decoder.decode(data):
            self._received += len(piece)
            if self._received > MAX_BODY:
                raise RefusedError("request_too_large", f"the body may have at most {MAX_BODY} bytes after decoding")
            yield from self._content(piece)

    def finish(self) -> Upload:
        """Take the end of the body, and say what stood beside the content."""
        self._decoder.finish()
        try:
            for _ in self._parser.parse(b""):
                pass
        except MultipartError as error:
            raise _malformed(error) from error
        if self._filename is None:
            raise missing(FILE)
        form = self._form()
        provider = one_provider(self._provider, given(form.provider)) or self._default
        if provider is None:
            raise missing(PROVIDER, known_values(self._model, PROVIDER))
        anchor, seconds = given(form.expires_after_anchor_), given(form.expires_after_seconds_)
        if (anchor is None) != (seconds is None):
            raise missing(ANCHOR if anchor is None else SECONDS)
        return Upload(purpose=form.purpose, filename=self._filename, provider=provider, lifetime=seconds)

    def _form(self) -> Form:
        values: dict[str, str | bytes] = {FILE: _CONTENT}
        for name, value in self._fields.items():
            try:
                values[name] = value.decode()
            except UnicodeDecodeError as error:
                raise _wrong(name, "it is not UTF-8") from error
        try:
            return msgspec.convert(values, self._model, strict=False)
        except msgspec.ValidationError as error:
            raise wrong_input(error, self._model) from error

    def _content(self, piece: bytes) -> Iterator[bytes]:
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._field = None
                elif self._field is None:
                    yield event
                else:
                    self._keep(event)
        except MultipartError as error:
            raise _malformed(error) from error

    def _begin(self, part: MultipartSegment) -> None:
        name = part.name or ""
        if name not in self._names:
            known = ", ".join(self._names)
            raise _wrong(
                name[:MAX_FIELD], f"it is not a field of an upload; those are {known}", code="unknown_parameter"
            )
        if name in self._fields or (name == FILE and self._filename is not None):
            raise _wrong(name, "it is given twice; give it once")
        if part.header("Content-Transfer-Encoding", "binary").lower() not in _PLAIN_ENCODINGS:
            raise _wrong(name, "it has a Content-Transfer-Encoding; send it as it is")
        if name == FILE:
            self._filename = _filename(part)
        else:
            self._field = self._fields[name] = bytearray()

    def _keep(self, data: bytes) -> None:
        assert self._field is not None
        self._field += data
        if len(self._field) > MAX_FIELD:
            name = next(name for name, value in self._fields.items() if value is self._field)
            raise _wrong(name, f"it may have at most {MAX_FIELD} bytes")


def one_provider(one: str | None, other: str | None) -> str | None:
    """Choose between two places of which either may name the provider; raises `RefusedError` if they disagree."""
    if one is not None and other is not None and one != other:
        raise _wrong(PROVIDER, f"one place says {one} and another {other}; name it once")
    return one or other


def _filename(part: MultipartSegment) -> str:
    """Read the name of a file, also where it is written as RFC 8187 says (``filename*``)."""
    extended = _EXTENDED_NAME.search(part.header("Content-Disposition"))
    try:
        name = unquote(extended[1], errors="strict") if extended else part.filename or UNNAMED
    except UnicodeDecodeError as error:
        raise _wrong(FILE, "its name is not UTF-8") from error
    if len(name) > MAX_FILENAME or _CONTROL.search(name):
        raise _wrong(FILE, f"its name may have at most {MAX_FILENAME} characters, and no control characters")
    return name


def _wrong(name: str, problem: str, *, code: str | None = None) -> RefusedError:
    return RefusedError("invalid_request_error", f"{name}: {problem}", param=name, code=code)


def _malformed(error: ValueError) -> RefusedError:
    return RefusedError("invalid_request_error", f"the body is not good multipart/form-data: {error}")
