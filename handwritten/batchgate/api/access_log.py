"""Writes one log record and updates the metrics for each answered HTTP request.

The record has the path of the spec, never the URL that was sent: a query, a header or a body may hold a key or a
prompt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from msgspec import Struct

from batchgate.api.context import HTTP_METER, OPERATION, REQUEST_ID, WORKSPACE

logger: Final = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
"""The operation and path of requests that match no operation."""
MESSAGE: Final = "%s %s %d in %.1f ms"

NAMED: Final = {
    "message_batch_id": "batch",
    "batch_id": "batch",
    "file_id": "file",
    "key_id": "key",
    "name": "secret",
}
"""The log field for each path parameter."""


DELAY: Final = 0.05
"""Seconds after which an answered request is logged, together with the others of that time."""


class AnsweredRequest(Struct, frozen=True, gc=False):
    """What a log record says of a request."""

    at: float
    """When it was answered, in seconds since the epoch."""
    request_id: str
    operation: str
    method: str
    path: str
    status: int
    seconds: float
    workspace: str | None
    resource: tuple[str, str] | None
    """The name and the value of the id in its path."""


class AccessRecords:
    """Writes log records of answered requests, those of `DELAY` seconds at once.

    One after the other they take a third of the time that each takes between two requests, whose code fills the caches
    of the processor.
    """

    def __init__(self) -> None:
        self._waiting: list[AnsweredRequest] = []
        self._closed = False

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Write the last records when the application ends; later ones are written at once."""
        yield
        self._closed = True
        self._write_all()

    def add(self, answered: AnsweredRequest) -> None:
        """Write a record soon."""
        self._waiting.append(answered)
        if self._closed:
            self._write_all()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(DELAY, self._write_all)

    def _write_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for answered in waiting:
            logger.handle(_record(answered))


class AccessLog(AbstractAccessLogger):
    """The access logger that aiohttp calls after each response."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count a request; malformed HTTP is logged elsewhere."""
        if not isinstance(request, web.Request) or REQUEST_ID not in request:
            return
        operation = request[OPERATION].id if OPERATION in request else UNMATCHED
        app = request.app
        app[HTTP_METER](operation, response.status, time)
        if logger.isEnabledFor(logging.INFO):
            app[ACCESS_RECORDS].add(_answered(request, response.status, operation, time))


ACCESS_RECORDS: Final = web.AppKey("access_records", AccessRecords)


def _answered(request: web.Request, status: int, operation: str, seconds: float) -> AnsweredRequest:
    match = request.match_info
    resource = match.route.resource
    return AnsweredRequest(
        time.time(),
        request[REQUEST_ID],
        operation,
        request.method,
        UNMATCHED if resource is None else resource.canonical,
        status,
        seconds,
        request.get(WORKSPACE),
        # After an error the id in the path may be any text.
        next(iter(match.items())) if match and status < 400 else None,
    )


def _record(answered: AnsweredRequest) -> logging.LogRecord:
    """Make a record; `Logger.info` would search the stack for its caller, which no line shows."""
    fields: dict[str, object] = {
        "action": "http_request",
        "request_id": answered.request_id,
        "operation": answered.operation,
        "method": answered.method,
        "path": answered.path,
        "status": answered.status,
        "seconds": round(answered.seconds, 6),
    }
    if answered.workspace is not None:
        fields["workspace"] = answered.workspace
    name, value = answered.resource or ("", "")
    if name in NAMED:
        fields[NAMED[name]] = value
    args = (answered.method, answered.path, answered.status, 1000 * answered.seconds)
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, MESSAGE, args, None, extra=fields)
    record.created, record.msecs = answered.at, answered.at % 1 * 1000
    return record
