"""Answers with a blob that is no file of this machine: its conditions and ranges, as aiohttp has them for files.

A blob never changes once it is committed, so a strong tag follows from its name.
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


class Span(Struct, frozen=True):
    """The part of a blob that is to be sent."""

    start: int
    length: int


class StoredAnswer:
    """What is to be said about one blob to one request."""

    def __init__(self, request: web.Request, name: str, stored: BlobInfo) -> None:
        self._request = request
        self._stored = stored
        self._modified = int(stored.modified)
        self._tag = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()

    @property
    def headers(self) -> Mapping[str, str]:
        """What every answer with the blob, or with a part of it, says of it."""
        return {
            hdrs.ETAG: f'"{self._tag}"',
            hdrs.LAST_MODIFIED: formatdate(self._modified, usegmt=True),
            hdrs.ACCEPT_RANGES: "bytes",
        }

    def status_without_content(self) -> int | None:
        """Tell if the conditions of the request leave nothing to be sent: 304, 412, or None."""
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

    def span(self) -> Span | None:
        """Tell which part is wanted; None for the whole. Raises `RefusedError` for one that lies outside of it."""
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
        return Span(start, end - start)

    def _range_holds(self) -> bool:
        """Tell if the range is meant for this blob, by its If-Range."""
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
    """Make the refusal of a range that is no part of what has ``size`` bytes."""
    message = f"Range: {request.headers[hdrs.RANGE]!r} is no part of the file, which has {size} bytes"
    headers: dict[str, str] = {hdrs.CONTENT_RANGE: f"bytes */{size}"}
    return RefusedError("invalid_request_error", message, status=416, headers=headers)
