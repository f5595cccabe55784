"""Reads input lines as requests with their routes."""

from __future__ import annotations

from collections.abc import Mapping

from batchgate.engine.dispatch.prepared_request import PreparedRequest
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.ports.rows import RowFormat


class RequestReader:
    """Reads the requests of a batch, in its dialect, and finds the accounts that they go to."""

    def __init__(self, router: Router, rows: Mapping[Dialect, RowFormat]) -> None:
        self._router = router
        self._rows = rows

    def read(self, batch: Batch, seq: int, line: bytes) -> PreparedRequest:
        """Return the request of an input line; raises `RequestError` if it cannot be sent to any account."""
        row = self._rows[batch.dialect].read(line, batch.options.model)
        if row.url is not None:
            return PreparedRequest(seq, row, self._router.route_to(batch.provider, row.model))
        return PreparedRequest(seq, row, self._router.route(batch.provider, row.model))

    def custom_id(self, batch: Batch, line: bytes) -> str:
        """Return the custom_id of an input line."""
        return self._rows[batch.dialect].custom_id(line)
