"""A TCP proxy that hangs up in the middle of an answer, as networks do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

PIECE = 16 * 1024


class CuttingProxy:
    """Passes connections on to the server of a URL while the context is entered.

    ``cuts`` says after how many bytes of the server's the first, second, ... connection ends; those after them stay
    whole. ``requests`` holds the first bytes of each, its head among them.
    """

    def __init__(self, url: str, cuts: Iterable[int] = ()) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._cuts = iter(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._passing: list[threading.Thread] = []
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Begin to accept connections."""
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up on everybody."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._open:
            _hang_up(connection)
        for thread in self._passing:
            thread.join()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(self._server)
            self._open += [caller, server]
            self.requests.append(b"")
            number = len(self.requests) - 1
            self._passing += [
                threading.Thread(target=self._pass_requests, args=(caller, server, number)),
                threading.Thread(target=self._pass_answers, args=(server, caller, next(self._cuts, None))),
            ]
            for thread in self._passing[-2:]:
                thread.start()

    def _pass_requests(self, caller: socket.socket, server: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := caller.recv(PIECE):
                self.requests[number] = (self.requests[number] + data)[:PIECE]
                server.sendall(data)
        _hang_up(server)

    def _pass_answers(self, server: socket.socket, caller: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(PIECE):
                caller.sendall(data[:left])
                if left is not None:
                    left -= min(left, len(data))
                    if not left:
                        break
        _hang_up(caller)
        _hang_up(server)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
