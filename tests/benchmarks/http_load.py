"""Load for measurements: GET requests for one path over a few connections, each sent when the last was answered.

The client does as little as it can, so that the server is what is measured: it parses the first answer only, and of
the others it counts the bytes, which are as many each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec import Struct

CONNECTIONS = 8


class Load(Struct, frozen=True):
    """How many requests were answered in how many seconds."""

    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def send_load(url: str, path: str, seconds: float) -> Load:
    """Send requests for some seconds."""
    return asyncio.run(_send_load(url, path, seconds))


async def _send_load(url: str, path: str, seconds: float) -> Load:
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or 80
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    size = await _size_of_answer(host, port, request)
    begun = time.perf_counter()
    connections = [_Connection(request, size, begun + seconds, loop) for _ in range(CONNECTIONS)]
    for connection in connections:
        await loop.create_connection(_returning(connection), host, port)
    await asyncio.gather(*(connection.ended for connection in connections))
    return Load(sum(connection.answered for connection in connections), time.perf_counter() - begun)


def _returning(connection: _Connection) -> Callable[[], _Connection]:
    return lambda: connection


async def _size_of_answer(host: str, port: int, request: bytes) -> int:
    """Send one request, check that it succeeds, and return the bytes of its answer."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
    length = int(fields[b"content-length"])
    await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return len(head) + length


class _Connection(asyncio.Protocol):
    """Sends one request after another until a time of `time.perf_counter`."""

    def __init__(self, request: bytes, size: int, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self._request = request
        self._size = self._missing = size
        self._until = until
        self._transport: asyncio.Transport
        self.answered = 0
        self.ended = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the bytes, and send the next request after the last of them."""
        self._missing -= len(data)
        if self._missing > 0:
            return
        assert self._missing == 0, "an answer was longer than the first one"
        self._missing = self._size
        self.answered += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the server closed the connection."""
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server closed a connection"))
