"""Writes a log line and updates the metrics for each answered HTTP request.

Clients poll, so a read that succeeds is logged at debug, except downloads and streams of events; all else at info.
The line has the path of the spec, never the URL that was sent: a query, a header or a body may hold a key or a
prompt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from time import time as now
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from msgspec import Struct

from batchgate.api.context import REQUEST_ID, WORKSPACE, HttpMeter
from batchgate.api.json_answer import JsonAnswer
from batchgate.engine.ports.telemetry import LOG_ENTRIES, LogEntry

logger: Final = logging.getLogger(__name__)

NAMED: Final = {
    "message_batch_id": "batch",
    "batch_id": "batch",
    "file_id": "file",
    "key_id": "key",
    "name": "secret",
}
"""The log field for each path parameter."""

READS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
DELAY: Final = 0.05
"""Seconds after which an answered request is logged, together with the others of that time."""


class LoggedCall(Struct, frozen=True, gc=False):
    """What the log and the metrics say of the operation that a request calls."""

    operation: str
    path: str
    """The path of the spec."""
    resource: tuple[str, str] | None = None
    """The log field and the value of the id in its path."""


UNMATCHED: Final = LoggedCall("unmatched", "unmatched")
"""What is said of requests that match no operation."""


class AnsweredRequest(Struct, frozen=True, gc=False):
    """What its log line says of a request."""

    level: int
    at: float
    """When it was answered, in seconds since the epoch."""
    request_id: str
    call: LoggedCall
    method: str
    status: int
    seconds: float
    workspace: str | None


class AccessRecords:
    """Logs answered requests, those of `DELAY` seconds in one record a level: in less than half of the time."""

    def __init__(self) -> None:
        self._waiting: list[AnsweredRequest] = []
        self._closed = False

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Log the last requests when the application ends; later ones are logged at once."""
        yield
        self._closed = True
        self._write_all()

    def add(self, answered: AnsweredRequest) -> None:
        """Log a request soon."""
        self._waiting.append(answered)
        if self._closed:
            self._write_all()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(DELAY, self._write_all)

    def _write_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for level in (logging.DEBUG, logging.INFO):
            entries = [_entry(answered) for answered in waiting if answered.level == level]
            if entries:
                fields = {"action": "http_request", LOG_ENTRIES: entries}
                logger.log(level, "%d HTTP requests answered", len(entries), extra=fields)


class AccessLog(AbstractAccessLogger):
    """The access logger that aiohttp calls after each response."""

    def __init__(self, *options: Any, meter: HttpMeter, records: AccessRecords) -> None:
        super().__init__(*options)
        self._meter = meter
        self._records = records

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count a request; malformed HTTP is logged elsewhere."""
        request_id = request.get(REQUEST_ID)
        if request_id is None:
            return
        call, status = request.get(LOGGED_CALL, UNMATCHED), response.status
        self._meter(call.operation, status, time)
        level = _level(request, response)
        if logger.isEnabledFor(level):
            workspace = request.get(WORKSPACE)
            self._records.add(AnsweredRequest(level, now(), request_id, call, request.method, status, time, workspace))


ACCESS_RECORDS: Final = web.AppKey("access_records", AccessRecords)
LOGGED_CALL: Final = web.RequestKey("logged_call", LoggedCall)
"""Set when the operation of a request is known."""


def logged_id(request: web.Request) -> tuple[str, str] | None:
    """Return the log field and the value of the id in the path of a request."""
    for parameter, value in request.match_info.items():
        return (NAMED[parameter], value) if parameter in NAMED else None
    return None


def _level(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Return debug for a read that succeeded and was answered as a whole; a download or a stream is sent in parts."""
    is_read = request.method in READS and response.status < 400
    return logging.DEBUG if is_read and isinstance(response, (web.Response, JsonAnswer)) else logging.INFO


def _entry(answered: AnsweredRequest) -> LogEntry:
    call, milliseconds = answered.call, 1000 * answered.seconds
    fields: dict[str, object] = {
        "request_id": answered.request_id,
        "operation": call.operation,
        "method": answered.method,
        "path": call.path,
        "status": answered.status,
        "seconds": round(answered.seconds, 6),
    }
    if answered.workspace is not None:
        fields["workspace"] = answered.workspace
    if call.resource is not None and answered.status < 400:  # after an error the id in the path may be any text
        name, fields[name] = call.resource
    return LogEntry(answered.at, f"{answered.method} {call.path} {answered.status} in {milliseconds:.1f} ms", fields)
