"""The body of an upload: a multipart form around content that is read in pieces, one in memory at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, cast

import httpx2

from batchgate_client.api.unified_files.upload_unified_file import _get_kwargs as upload_call
from batchgate_client.models import UploadUnifiedFile, UploadUnifiedFilePurpose
from batchgate_client.types import UNSET, File, RequestFiles
from batchgate_streams.calls import Call, Provider
from batchgate_streams.errors import SourceChanged

Source: TypeAlias = Path | BinaryIO | Iterable[bytes]
"""What can be uploaded: a path, a binary file from its current position, or pieces of any size."""
Purpose: TypeAlias = UploadUnifiedFilePurpose

PIECE: Final = 256 * 1024
"""Bytes read from a file at a time."""
UNNAMED: Final = "upload"


class Upload:
    """An upload call: its arguments, and the bytes of the form before and after the content."""

    def __init__(
        self,
        source: Source | AsyncIterable[bytes],
        *,
        purpose: Purpose,
        provider: Provider,
        filename: str | None,
        expires_after: int | None,
    ) -> None:
        file = File(BytesIO(), filename or _name_of(source), "application/octet-stream")
        form = UploadUnifiedFile(file=file, purpose=purpose)
        if expires_after is not None:
            form.expires_afteranchor, form.expires_afterseconds = "created_at", expires_after
        call = upload_call(body=form, provider=provider, x_model_provider=UNSET)
        self._before, self._after, content_type = _frame(call.pop("files"))
        call["headers"] |= {"Content-Type": content_type}
        self._call: Call = call

    def call(self, content: Iterator[bytes] | AsyncIterator[bytes], size: int | None) -> Call:
        """Return the call for content of ``size`` bytes; without a size the body is sent in chunks."""
        headers = dict(self._call["headers"])
        if size is not None:
            headers["Content-Length"] = str(len(self._before) + size + len(self._after))
        body = self._async_body(content) if isinstance(content, AsyncIterator) else self._body(content)
        return self._call | {"headers": headers, "content": body}

    def _body(self, content: Iterator[bytes]) -> Iterator[bytes]:
        yield self._before
        yield from content
        yield self._after

    async def _async_body(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield self._before
        async for piece in content:
            yield piece
        yield self._after


@contextmanager
def opened(source: Source) -> Iterator[tuple[Iterator[bytes], int | None]]:
    """Open a source, and yield its pieces and its size, if known."""
    given: object = source
    if isinstance(given, str | bytes):  # iterable, but not over bytes
        raise TypeError(f"source: a Path, a binary file or an iterable of bytes, not {type(given).__name__}")
    if isinstance(source, Path):
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield _checked_size(_pieces(file), size, source), size
    elif hasattr(source, "read"):
        yield _pieces(cast(BinaryIO, source)), None
    else:
        yield iter(source), None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _checked_size(pieces: Iterator[bytes], size: int, path: Path) -> Iterator[bytes]:
    """Yield the pieces; raises `SourceChanged` if they do not add up to the announced size."""
    sent = 0
    for piece in pieces:
        sent += len(piece)
        if sent > size:
            break
        yield piece
    if sent != size:
        raise SourceChanged(f"{path}: its size was {size} bytes at the start of the upload, and has changed")


def _name_of(source: Source | AsyncIterable[bytes]) -> str:
    """Return the file name of a path, if the source has one."""
    name = source if isinstance(source, Path) else getattr(source, "name", None)
    return (Path(name).name if isinstance(name, str | Path) else "") or UNNAMED


def _frame(fields: RequestFiles) -> tuple[bytes, bytes, str]:
    """Let httpx2 write the form without content and with a random boundary, and split it where the content goes.

    The file is the last field, so that the gateway knows its purpose first.
    """
    in_order = sorted(fields, key=lambda field: field[0] == "file")
    request = httpx2.Request("POST", "http://form", files=in_order)
    content_type = request.headers["Content-Type"]
    after = f"\r\n--{content_type.partition('boundary=')[2]}--\r\n".encode()
    body = request.read()
    assert body.endswith(after)
    return body.removesuffix(after), after, content_type
