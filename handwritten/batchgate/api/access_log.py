"""Writes one log record and updates the metrics for each answered HTTP request.

The record has the path of the spec, never the URL that was sent: a query, a header or a body may hold a key or a
prompt.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from batchgate.api.context import HTTP_METER, OPERATION, REQUEST_ID, WORKSPACE

logger: Final = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
"""The operation and path of requests that match no operation."""


NAMED: Final = {
    "message_batch_id": "batch",
    "batch_id": "batch",
    "file_id": "file",
    "key_id": "key",
    "name": "secret",
}
"""The log field for each path parameter."""


class AccessLog(AbstractAccessLogger):
    """The access logger that aiohttp calls after each response."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count a request; malformed HTTP is logged elsewhere."""
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
        # After an error the id in the path may be any text.
        if response.status < 400 and request.match_info:
            name, value = next(iter(request.match_info.items()))
            if name in NAMED:
                fields[NAMED[name]] = value
        message = "%s %s %d in %.1f ms"
        self.logger.info(message, request.method, path, response.status, 1000 * seconds, extra=fields)
