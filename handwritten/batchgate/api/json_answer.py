"""JSON answers, whose head and body are sent at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from batchgate.api.context import REQUEST_ID
from batchgate.api.errors import REQUEST_ID_HEADERS, SERVER

JOINED: Final = 64 * 1024
"""Bytes of a body that is copied behind its head, so that one system call sends both."""

_HEAD: Final = "\r\n".join(
    (
        "HTTP/1.1 200 OK",
        *(f"{name}: %s" for name in REQUEST_ID_HEADERS),
        f"Server: {SERVER}",
        "Content-Type: application/json",
        "Content-Length: %d",
        "Date: %s",
        "",
    )
)


class JsonAnswer(web.StreamResponse):
    """A successful answer with a complete body.

    It formats its own head, in a third of the time that `web.Response` takes for any response.
    """

    def __init__(self, content: bytes, headers: Mapping[str, str] | None = None, *, repeatable: bool = False) -> None:
        super().__init__(headers=headers)
        self.content = content
        self.repeatable = repeatable
        """Whether it may be given again; see `repeated_reads`."""
        self._request: web.BaseRequest

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Get ready to send; the head is sent with the body."""
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer; aiohttp calls this once, with the default."""
        writer, head = self._request.writer, self._head(self._request)
        body = b"" if self._request.method == hdrs.METH_HEAD else self.content + data
        if len(body) <= JOINED:
            await writer.write(head + body)
        else:
            await writer.write(head)
            await writer.write(body)
        await writer.drain()

    def _head(self, request: web.BaseRequest) -> bytes:
        request_id = request[REQUEST_ID]
        head = _HEAD % (request_id, request_id, len(self.content), rfc822_formatted_time())
        if self.headers:
            head += "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        if not self._keep_alive:
            head += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            head += "Connection: keep-alive\r\n"
        return f"{head}\r\n".encode()
