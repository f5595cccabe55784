"""A client that asks for a download and then reads nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

RECEIVE_BUFFER = 8 * 1024
"""Bytes that the kernel holds for the client, so that a download of a few megabytes cannot fit."""


class StalledDownload:
    """The connection of a client that has read only the head of the answer."""

    def __init__(self, connection: socket.socket, head: bytes) -> None:
        self.connection = connection
        self.head = head.decode("latin-1")

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.head.split()[1])

    async def read_rest(self) -> bytes:
        """Read quickly what follows, until the server closes the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        received = bytearray()
        while data := await asyncio.get_running_loop().sock_recv(self.connection, 1024 * 1024):
            received += data
        return bytes(received)

    async def was_cut(self) -> bool:
        """Read the rest, and return whether the server broke off in the middle."""
        try:
            await self.read_rest()
        except ConnectionResetError:
            return True
        return False


async def stalled_download(url: str, path: str, *headers: str) -> StalledDownload:
    """Ask for a path, and read only the head of the answer."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    await loop.sock_connect(connection, (address.hostname, address.port))
    lines = (f"GET {path} HTTP/1.1", f"Host: {address.netloc}", *headers, "", "")
    await loop.sock_sendall(connection, "\r\n".join(lines).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        received = await loop.sock_recv(connection, 1)
        if not received:
            raise ConnectionResetError(head)
        head += received
    return StalledDownload(connection, head)


@asynccontextmanager
async def stalled_downloads(url: str, path: str, *headers: str, count: int) -> AsyncIterator[list[StalledDownload]]:
    """Hold so many stalled downloads; they are closed at the end."""
    downloads: list[StalledDownload] = []
    try:
        while len(downloads) < count:
            downloads.append(await stalled_download(url, path, *headers))
        yield downloads
    finally:
        for download in downloads:
            download.connection.close()


def open_files(folder: Path) -> int:
    """Count the files of a folder that this process has open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink().is_relative_to(folder.resolve())
        except FileNotFoundError:
            continue
    return found
