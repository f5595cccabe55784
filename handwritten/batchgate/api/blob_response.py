"""Conditional and range requests for blobs in an object store; aiohttp supports them for local files only.

A committed blob never changes, so its name gives a strong ETag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from aiohttp import ETag, hdrs, web
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.engine.ports.blobs import BlobInfo

ANY: Final = "*"


class ByteRange(Struct, frozen=True):
    """The range of a blob to send."""

    start: int
    length: int


class BlobResponse:
    """Evaluates the conditions and the range of one request for one blob."""

    def __init__(self, request: web.Request, name: str, stored: BlobInfo) -> None:
        self._request = request
        self._stored = stored
        self._modified = int(stored.modified)
        self._tag = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every response with the blob or a range of it."""
        return {
            hdrs.ETAG: f'"{self._tag}"',
            hdrs.LAST_MODIFIED: formatdate(self._modified, usegmt=True),
            hdrs.ACCEPT_RANGES: "bytes",
        }

    def status_without_content(self) -> int | None:
        """Return 304 or 412 if a condition of the request fails, else None."""
        request, modified = self._request, self._modified
        if request.if_match is not None:
            if not self._matches(request.if_match, weak=False):
                return 412
        elif request.if_unmodified_since is not None and modified > request.if_unmodified_since.timestamp():
            return 412
        if request.if_none_match is not None:
            return 304 if self._matches(request.if_none_match, weak=True) else None
        if request.if_modified_since is not None and modified <= request.if_modified_since.timestamp():
            return 304
        return None

    def span(self) -> ByteRange | None:
        """Return the requested range; None for the whole blob. Raises `RefusedError` for a range outside of it."""
        if hdrs.RANGE not in self._request.headers or not self._range_holds():
            return None
        try:
            wanted = self._request.http_range
        except ValueError:
            raise out_of_range(self._request, self._stored.size) from None
        size = self._stored.size
        start = wanted.start or 0
        start = max(0, start + size) if start < 0 else start
        if start >= size:
            raise out_of_range(self._request, size)
        end = size if wanted.stop is None else min(wanted.stop, size)
        return ByteRange(start, end - start)

    def _range_holds(self) -> bool:
        """Check that If-Range is for this blob."""
        condition = self._request.headers.get(hdrs.IF_RANGE)
        if condition is None:
            return True
        if self._request.if_range is not None:
            return self._modified <= self._request.if_range.timestamp()
        return condition.strip() == f'"{self._tag}"'

    def _matches(self, tags: tuple[ETag, ...], *, weak: bool) -> bool:
        if len(tags) == 1 and tags[0].value == ANY:
            return True
        return any(tag.value == self._tag for tag in tags if weak or not tag.is_weak)


def out_of_range(request: web.Request, size: int) -> RefusedError:
    """Return the refusal of a range outside of ``size`` bytes."""
    message = f"Range: {request.headers[hdrs.RANGE]!r} is outside of the file, which has {size} bytes"
    headers: dict[str, str] = {hdrs.CONTENT_RANGE: f"bytes */{size}"}
    return RefusedError("invalid_request_error", message, status=416, headers=headers)
