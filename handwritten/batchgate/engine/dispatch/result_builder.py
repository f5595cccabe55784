"""Builds the result lines of requests, whichever lane they took."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.cost import cost_of
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.rows import LineTranslator, RowFormat

logger = logging.getLogger(__name__)


class ResultBuilder:
    """Builds results in the dialect of their batch."""

    def __init__(self, rows: Mapping[Dialect, RowFormat], translator: LineTranslator) -> None:
        self._rows = rows
        self._translator = translator

    def succeeded(
        self, batch: Batch, seq: int, custom_id: str, answer: bytes, *, account: Account, model: str, factor: float = 1
    ) -> ResultLine:
        """Return the result of an answered request; ``factor`` is the part of the normal price that it cost."""
        line = self._rows[batch.dialect].succeeded_line(custom_id, answer)
        usage = self._translator.usage(batch.options.kind, answer)
        cost = round(cost_of(usage, account, model) * factor)
        return ResultLine(seq=seq, status="succeeded", line=line, usage=usage, cost=cost)

    def errored(self, batch: Batch, seq: int, custom_id: str, error: Exception) -> ResultLine:
        """Return the result of a request that ended with an error; one that is not expected is logged."""
        if not isinstance(error, RequestError):
            fields = {"action": "request_failed", "batch": batch.id, "seq": seq}
            logger.error("a request failed with an internal error", exc_info=error, extra=fields)
            error = RequestError("api_error", "internal error in the gateway; its log has the details")
        return ResultLine(seq=seq, status="errored", line=self._rows[batch.dialect].errored_line(custom_id, error))

    def expired(self, batch: Batch, seq: int, custom_id: str, reason: str) -> ResultLine | None:
        """Return the result of a request that expired for a reason; None if its format has no room for that."""
        line = self._rows[batch.dialect].expired_line(custom_id, reason)
        return None if line is None else ResultLine(seq=seq, status="expired", line=line)

    def expired_without_reason(self, batch: Batch, seq: int, custom_id: str) -> ResultLine:
        """Return the result of a request that expired."""
        line = self._rows[batch.dialect].unfinished_line(custom_id, "expired")
        return ResultLine(seq=seq, status="expired", line=line)

    def custom_id(self, batch: Batch, line: bytes) -> str:
        """Return the custom_id of an input line."""
        return self._rows[batch.dialect].custom_id(line)
