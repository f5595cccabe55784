"""One log record for each HTTP request once it is answered, and one call of the meter.

Paths are those of the spec, never what was sent: a query, a header or a body may hold a key or a prompt.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from batchgate.api.context import HTTP_METER, OPERATION, REQUEST_ID, WORKSPACE

logger: Final = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
"""Stands for the operation and the path of requests that match none."""


NAMED: Final = {
    "message_batch_id": "batch",
    "batch_id": "batch",
    "file_id": "file",
    "key_id": "key",
    "name": "secret",
}
"""Under which field the id in a path is logged."""


class AccessLog(AbstractAccessLogger):
    """Told by aiohttp of every answer, once it is sent."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and measure a request; malformed HTTP has a log record of its own."""
        if not isinstance(request, web.Request) or REQUEST_ID not in request:
            return
        operation = request[OPERATION].id if OPERATION in request else UNMATCHED
        request.app[HTTP_METER](operation, response.status, time)
        if self.logger.isEnabledFor(logging.INFO):
            self._write(request, response, operation, time)

    def _write(self, request: web.Request, response: web.StreamResponse, operation: str, seconds: float) -> None:
        resource = request.match_info.route.resource
        path = UNMATCHED if resource is None else resource.canonical
        fields: dict[str, object] = {
            "action": "http_request",
            "request_id": request[REQUEST_ID],
            "operation": operation,
            "method": request.method,
            "path": path,
            "status": response.status,
            "seconds": round(seconds, 6),
        }
        if WORKSPACE in request:
            fields["workspace"] = request[WORKSPACE]
        # Where there was no such thing, anything may stand in the place of its id.
        if response.status < 400 and request.match_info:
            name, value = next(iter(request.match_info.items()))
            if name in NAMED:
                fields[NAMED[name]] = value
        message = "%s %s %d in %.1f ms"
        self.logger.info(message, request.method, path, response.status, 1000 * seconds, extra=fields)
