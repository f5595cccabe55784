"""A file that grows beside its target while a download runs, and takes the target's place when it is whole."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from batchgate_streams.calls import Call
from batchgate_streams.errors import ConnectionFailed, UnusableAnswer

PAUSE: Final = 1.0
"""Seconds before a download that broke off goes on."""
FRUITLESS: Final = 5
"""So many times in a row may a download break off without a further byte."""


class Download:
    """A download and how far it is; a context manager, whose end removes whatever is not whole.

    One that breaks off goes on where it was, by Range, if the answer had an ETag by which the gateway can tell that the
    content is still the same; else from the start.
    """

    def __init__(self, call: Call, target: Path) -> None:
        self._call = call
        self._target = target
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        self._cleanup = ExitStack()
        self._size = 0
        self._best = 0
        self._fruitless = 0
        self._etag: str | None = None
        self._digest: str | None = None
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        """Create the file that grows; raises OSError if it cannot stand beside the target."""
        self._file = self._cleanup.enter_context(self._part.open("xb"))
        self._cleanup.callback(self._part.unlink, missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file, and remove it unless it took the target's place."""
        self._cleanup.close()

    def call(self) -> Call:
        """Ask for all that is missing; uncompressed, as only then ranges and digests are of what is written."""
        headers = {**self._call.get("headers", {}), "Accept-Encoding": "identity"}
        if self._etag is not None and self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Match": self._etag}
        return self._call | {"headers": headers}

    def begin(self, response: httpx.Response) -> None:
        """Take the head of an answer: it goes on where the file ends, or starts again."""
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {self._size}-")
        if response.status_code == httpx.codes.PARTIAL_CONTENT and not continues:
            raise UnusableAnswer(f"{response.request.url}: it answers with another range than was asked for")
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._size = 0
            self._file.seek(0)
            self._file.truncate()
            self._hash = hashlib.sha256()
        self._etag = response.headers.get("ETag")
        self._digest = response.headers.get("Repr-Digest")

    def write(self, piece: bytes) -> None:
        """Write what came."""
        self._file.write(piece)
        self._hash.update(piece)
        self._size += len(piece)

    def broken(self, error: ConnectionFailed) -> float:
        """Return after how many seconds to go on; raises the error when that leads nowhere."""
        self._fruitless = 0 if self._size > self._best else self._fruitless + 1
        self._best = max(self._best, self._size)
        if self._fruitless >= FRUITLESS:
            raise error
        return PAUSE

    def finish(self) -> None:
        """Put the whole file where it belongs; raises `UnusableAnswer` if it is not what the gateway stored."""
        computed = f"sha-256=:{b64encode(self._hash.digest()).decode()}:"
        if self._digest is not None and self._digest.startswith("sha-256=:") and self._digest != computed:
            raise UnusableAnswer(f"{self._target}: the content that came has another SHA-256 than the one stored")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._target)
