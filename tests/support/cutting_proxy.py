"""A TCP proxy that disconnects in the middle of a response, as networks do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

CHUNK_SIZE = 16 * 1024


class CuttingProxy:
    """Forwards connections to the server of a URL while the context is entered.

    The first, second, ... of the ``cuts`` is the number of response bytes, or what the response has last, before the
    first, second, ... connection is closed. Later connections are not cut; ``on_uncut`` is called when the first of
    them is there. ``requests`` holds the first bytes of each request, including its headers.
    """

    def __init__(
        self, url: str, cuts: Sequence[int | bytes] = (), on_uncut: Callable[[], object] = lambda: None
    ) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._cuts = cuts
        self._on_uncut = on_uncut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Start to accept connections."""
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._connections:
            _shut_down(connection)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(self._server)
            self._connections += [client, server]
            self.requests.append(b"")
            number = len(self.requests) - 1
            cut = self._cuts[number] if number < len(self._cuts) else None
            self._threads += [
                threading.Thread(target=self._forward_requests, args=(client, server, number)),
                threading.Thread(target=self._forward_responses, args=(server, client, cut)),
            ]
            for thread in self._threads[-2:]:
                thread.start()
            if number == len(self._cuts):
                self._on_uncut()

    def _forward_requests(self, client: socket.socket, server: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK_SIZE):
                self.requests[number] = (self.requests[number] + data)[:CHUNK_SIZE]
                server.sendall(data)
        _shut_down(server)

    def _forward_responses(self, server: socket.socket, client: socket.socket, cut: int | bytes | None) -> None:
        received, sent = b"", 0
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK_SIZE):
                if cut is None:
                    client.sendall(data)
                    continue
                received += data
                end = _end(received, cut)
                client.sendall(received[sent:end])
                if end is not None:
                    break
                sent = len(received)
        _shut_down(client)
        _shut_down(server)


def _end(received: bytes, cut: int | bytes) -> int | None:
    """Return where a response is cut; None if it has not come that far."""
    if isinstance(cut, int):
        return cut if len(received) >= cut else None
    return received.index(cut) + len(cut) if cut in received else None


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
