"""Downloads to a temporary file beside the target, which it replaces when it is complete."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2

from batchgate_streams.calls import Call
from batchgate_streams.errors import ConnectionFailed, UnusableAnswer

RETRY_DELAY: Final = 1.0
"""Seconds before an interrupted download is resumed."""
MAX_FAILURES: Final = 5
"""Interruptions in a row without a new byte after which a download fails."""


class Download:
    """One download; a context manager that removes an incomplete file at its end.

    An interrupted download is resumed with Range if the answer had an ETag, which proves that the content is the same;
    otherwise it starts again.
    """

    def __init__(self, call: Call, target: Path) -> None:
        self._call = call
        self._target = target
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        self._cleanup = ExitStack()
        self._size = 0
        self._max_size = 0
        self._failures = 0
        self._etag: str | None = None
        self._digest: str | None = None
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        """Create the temporary file; raises OSError if the folder is not writable."""
        self._file = self._cleanup.enter_context(self._part.open("xb"))
        self._cleanup.callback(self._part.unlink, missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the temporary file, and remove it unless it replaced the target."""
        self._cleanup.close()

    def call(self) -> Call:
        """Return the call for the missing bytes; uncompressed, so that ranges and digests match what is written."""
        headers = {**self._call.get("headers", {}), "Accept-Encoding": "identity"}
        if self._etag is not None and self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Match": self._etag}
        return self._call | {"headers": headers}

    def begin(self, response: httpx2.Response) -> None:
        """Read the head of an answer: it continues at the end of the file, or starts again."""
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {self._size}-")
        if response.status_code == httpx2.codes.PARTIAL_CONTENT and not continues:
            raise UnusableAnswer(f"{response.request.url}: the answer has another range than requested")
        if response.status_code != httpx2.codes.PARTIAL_CONTENT:
            self._size = 0
            self._file.seek(0)
            self._file.truncate()
            self._hash = hashlib.sha256()
        self._etag = response.headers.get("ETag")
        self._digest = response.headers.get("Repr-Digest")

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        self._file.write(piece)
        self._hash.update(piece)
        self._size += len(piece)

    def interrupted(self, error: ConnectionFailed) -> float:
        """Return the seconds to wait before resuming; raises the error after too many failures."""
        self._failures = 0 if self._size > self._max_size else self._failures + 1
        self._max_size = max(self._max_size, self._size)
        if self._failures >= MAX_FAILURES:
            raise error
        return RETRY_DELAY

    def finish(self) -> None:
        """Replace the target by the complete file; raises `UnusableAnswer` if its digest is wrong."""
        computed = f"sha-256=:{b64encode(self._hash.digest()).decode()}:"
        if self._digest is not None and self._digest.startswith("sha-256=:") and self._digest != computed:
            raise UnusableAnswer(f"{self._target}: the downloaded content has a wrong SHA-256")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._target)
