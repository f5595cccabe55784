"""One HTTP/1.1 connection to a provider, for one call at a time.

The connection is closed whenever the end of a response is uncertain: after an abandoned call, unexpected bytes, or a
request body that was not sent completely. No response can therefore reach another call.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.transport.call_errors import (
    CLOSED_EARLY,
    ENDED_EARLY,
    NOT_HTTP,
    CallFailedError,
    ResponseTooLargeError,
)
from batchgate.providers.transport.http_request import Origin

_MAX_OVERHEAD: Final = 64 * 1024
"""Maximum number of consecutive bytes outside of the body: the head, or trailers."""
_LARGE_BODY: Final = 1024 * 1024
_WRITE_BYTES: Final = 64 * 1024


class HttpConnection(asyncio.BufferedProtocol):
    """A connection to an origin; it calls ``on_lost`` once when it is closed.

    Connections can share ``buffer``, as the event loop fills it and calls `buffer_updated` in one step. Allocating
    memory for every read would double the CPU time.
    """

    def __init__(
        self, origin: Origin, buffer: memoryview, max_body: int, on_lost: Callable[[HttpConnection], None]
    ) -> None:
        self.origin: Final = origin
        self._buffer: Final = buffer
        self._max_body: Final = max_body
        self._on_lost: Final = on_lost
        self._loop: Final = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._fields: Final[dict[bytes, bytes]] = {}
        # The parser calls this for each of the dozens of headers; a Python function would be slower.
        self.on_header: Final = self._fields.__setitem__
        self._headers: dict[str, str] = {}
        self._blocks: list[bytes] = []
        self._remaining_body = max_body
        self._overhead = 0
        self._in_body = False
        self._keep_alive = False
        self._parser: Final = HttpResponseParser(self)
        # Some servers end lines with only LF or pad chunk sizes; the end of the response is certain in both cases.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)

    @property
    def usable(self) -> bool:
        """Whether another call can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after pending data is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once, even if a call is in flight."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, head: bytes, body: bytes, seconds: float) -> UpstreamResponse:
        """Send a request and return its complete response, without decompressing the body.

        The connection can be reused if it is still `usable`. Raises `CallFailedError`, `ResponseTooLargeError`, and
        `TimeoutError` after ``seconds``.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise CallFailedError(CLOSED_EARLY)
        self._overhead = 0
        self._in_body = False
        answer: asyncio.Future[UpstreamResponse] = self._loop.create_future()
        self._answer = answer
        self._set_deadline(seconds)
        try:
            if len(body) < _LARGE_BODY:
                transport.write(head + body)
            else:
                await self._write_in_chunks(transport, answer, head, body)
            response = await answer
        except BaseException:
            self._abandon(answer)
            raise
        if not self._keep_alive or transport.get_write_buffer_size():
            self.abort()
        return response

    async def _write_in_chunks(
        self, transport: asyncio.Transport, answer: asyncio.Future[UpstreamResponse], head: bytes, body: bytes
    ) -> None:
        """Write a large body without blocking the event loop; stop when the response arrives early."""
        transport.write(head)
        view = memoryview(body)
        for begin in range(0, len(view), _WRITE_BYTES):
            if answer.done():
                self._keep_alive = False
                return
            transport.write(view[begin : begin + _WRITE_BYTES])
            if self._writable is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait((answer, self._writable), return_when=asyncio.FIRST_COMPLETED)

    def _set_deadline(self, seconds: float) -> None:
        """Set the deadline of a call; the timer is reused for later calls, as most calls end long before it."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        if self._loop.time() < self._deadline:
            self._start_timer()
        else:
            self._fail(TimeoutError())

    def _abandon(self, answer: asyncio.Future[UpstreamResponse]) -> None:
        """Close the connection of a canceled call, and retrieve its exception so that asyncio does not log it."""
        self.abort()
        if not answer.cancel() and not answer.cancelled():
            answer.exception()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call in flight; its response is complete if it has neither a length nor chunks."""
        self._on_lost(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is None or self._answer.done():
            return
        until_close = "content-length" not in self._headers and "transfer-encoding" not in self._headers
        if self._in_body and until_close and exc is None:
            self.on_message_complete()
        else:
            error = CallFailedError(ENDED_EARLY if self._in_body else _reason(exc))
            error.__cause__ = exc
            self._answer.set_exception(error)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the shared read buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse the received bytes; close the connection if no call is in flight."""
        if self._answer is None or self._answer.done():
            self.abort()
            return
        self._overhead += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (HttpParserError, HttpParserUpgrade) as error:
            failure = CallFailedError(NOT_HTTP)
            failure.__cause__ = error
            self._fail(failure)
        else:
            if self._overhead > _MAX_OVERHEAD:
                self._fail(CallFailedError(NOT_HTTP))

    def pause_writing(self) -> None:
        """Pause writing a large body."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Resume writing a large body."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Start a response; close the connection if the response of the call is already complete."""
        self._fields.clear()
        self._headers, self._blocks = {}, []
        self._remaining_body = self._max_body
        if self._answer is None or self._answer.done():
            self.abort()

    def on_headers_complete(self) -> None:
        """Store the headers, the last one of each name; trailers are ignored."""
        self._headers = {
            _lower(name): value.strip(b" \t").decode("utf-8", "replace") for name, value in self._fields.items()
        }
        self._in_body = self._parser.get_status_code() >= 200
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Store a block of the body; fail the call if the body is too large."""
        self._overhead = 0
        self._remaining_body -= len(body)
        if self._remaining_body < 0:
            self._fail(ResponseTooLargeError())
        else:
            self._blocks.append(body)

    def on_message_complete(self) -> None:
        """Complete the call with the response; ignore an informational one (1xx)."""
        status = self._parser.get_status_code()
        if status >= 200 and self._answer is not None and not self._answer.done():
            self._answer.set_result(UpstreamResponse(status=status, headers=self._headers, body=b"".join(self._blocks)))


@lru_cache(maxsize=1024)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _reason(error: Exception | None) -> str:
    """Return why no response started."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return CLOSED_EARLY if error is None else type(error).__name__
