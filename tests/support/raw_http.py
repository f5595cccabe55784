"""HTTP spoken by hand, for what no client library would send."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import hdrs
from multidict import CIMultiDict


@dataclass(frozen=True)
class RawResponse:
    """An answer as it came over the connection."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RawConnection:
    """A connection on which any bytes may be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def read_response(self) -> RawResponse:
        """Read one answer."""
        request_head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = CIMultiDict(_header(line) for line in request_head[1:-1])
        body = await self._reader.readexactly(int(headers.get(hdrs.CONTENT_LENGTH, "0")))
        return RawResponse(int(request_head[0].split()[1]), MappingProxyType(headers), body)

    async def is_closed(self) -> bool:
        """Wait for the other side to say something more; true when it says nothing and closes."""
        return await self._reader.read(1) == b""


@asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[RawConnection]:
    """Connect to the server of a URL, and hang up at the end."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def request_head(request_line: str, *headers: str) -> bytes:
    """Write the head of a request: its first line, Host, and more headers."""
    lines = (f"{request_line} HTTP/1.1", "Host: gateway.test", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
