"""Builds the result lines of requests, whichever lane they took."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.failure import UNFINISHED_MESSAGES, Failure
from batchgate.engine.model.price import LanePrices, spend_on
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.rows import LineTranslator, RowFormat

logger = logging.getLogger(__name__)

INTERNAL_ERROR: Final = "internal error in the gateway; its log has the details"


def log_internal_error(batch: Batch, seq: int, error: Exception) -> None:
    """Log an error of a request that nobody expected, with its traceback."""
    fields = {"action": "request_failed", "batch": batch.id, "seq": seq}
    logger.error("a request failed with an internal error", exc_info=error, extra=fields)


class ResultBuilder:
    """Builds results in the dialect of their batch."""

    def __init__(self, rows: Mapping[Dialect, RowFormat], translator: LineTranslator) -> None:
        self._rows = rows
        self._translator = translator

    def succeeded(
        self,
        batch: Batch,
        seq: int,
        custom_id: str,
        answer: bytes,
        *,
        called: CalledModel,
        prices: LanePrices | None,
        native: bool,
        stated_cost: int | None,
    ) -> ResultLine:
        """Return the result of an answered request, with its cost in its lane, which the provider may have stated."""
        usage = self._translator.usage(batch.options.kind, answer)
        spend = spend_on(usage, prices, native=native, stated=stated_cost)
        cost = None if spend.unpriced else spend.total
        line = self._rows[batch.dialect].succeeded_line(custom_id, answer, cost=cost)
        return ResultLine(seq=seq, status="succeeded", line=line, usage=usage, spend=spend, called=called)

    def errored(
        self, batch: Batch, seq: int, custom_id: str, error: Exception, *, called: CalledModel | None
    ) -> ResultLine:
        """Return the result of a request that ended with an error; one that is not expected is logged.

        ``called``: the model that it is for, unless no account has it.
        """
        if not isinstance(error, RequestError):
            log_internal_error(batch, seq, error)
            error = RequestError("api_error", INTERNAL_ERROR)
        line = self._rows[batch.dialect].errored_line(custom_id, error)
        permanent = not error.retry_safe
        failure = Failure(kind=error.kind, message=error.message, custom_id=custom_id, permanent=permanent)
        return ResultLine(seq=seq, status="errored", line=line, failure=failure, called=called)

    def expired(self, batch: Batch, seq: int, custom_id: str, reason: str) -> ResultLine | None:
        """Return the result of a request that expired for a reason; None if its format has no room for that."""
        line = self._rows[batch.dialect].expired_line(custom_id, reason)
        failure = Failure(kind="expired", message=reason, custom_id=custom_id)
        return None if line is None else ResultLine(seq=seq, status="expired", line=line, failure=failure)

    def expired_without_reason(self, batch: Batch, seq: int, custom_id: str) -> ResultLine:
        """Return the result of a request that expired."""
        line = self._rows[batch.dialect].unfinished_line(custom_id, "expired")
        failure = Failure(kind="expired", message=UNFINISHED_MESSAGES["expired"], custom_id=custom_id)
        return ResultLine(seq=seq, status="expired", line=line, failure=failure)

    def custom_ids(self, batch: Batch, lines: Iterable[tuple[int, bytes]]) -> dict[int, str]:
        """Return the custom_ids of input lines with their seqs, by seq."""
        read = self._rows[batch.dialect].custom_id
        return {seq: read(line) for seq, line in lines}
