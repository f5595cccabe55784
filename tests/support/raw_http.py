"""HTTP over a plain socket, for requests that no client library would send."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import hdrs
from multidict import CIMultiDict


@dataclass(frozen=True)
class RawResponse:
    """A response as it was received."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RawConnection:
    """A connection on which a test can send any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._head: bytes | None = None
        """The head of a response that has been read already."""

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def read_response(self) -> RawResponse:
        """Read one response."""
        head, self._head = self._head or await self._reader.readuntil(b"\r\n\r\n"), None
        first, *lines = head.decode("latin-1").splitlines()
        headers = CIMultiDict(_header(line) for line in lines[:-1])
        body = await self._reader.readexactly(int(headers.get(hdrs.CONTENT_LENGTH, "0")))
        return RawResponse(int(first.split()[1]), MappingProxyType(headers), body)

    async def is_asked_for_body(self) -> bool:
        """Wait for an answer to ``Expect: 100-continue``; a final response is left for `read_response`."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        asked = head.startswith(b"HTTP/1.1 100 ")
        self._head = None if asked else head
        return asked

    async def is_closed(self) -> bool:
        """Wait until the server sends more or closes the connection; return whether it closed it."""
        return await self._reader.read(1) == b""


@asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[RawConnection]:
    """Connect to the server of a URL, and close the connection at the end."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def request_head(request_line: str, *headers: str) -> bytes:
    """Return the head of a request: its first line, Host, and more headers."""
    lines = (f"{request_line} HTTP/1.1", "Host: gateway.test", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
