"""Runs one request to its end: route, gate, call, and as many tries as are safe before the deadline."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

from batchgate.engine.batch import Batch, ResultLine
from batchgate.engine.errors import RequestError, UpstreamError
from batchgate.engine.limiter import Limiter
from batchgate.engine.routing import Route, Router
from batchgate.engine.rows import InputRow, RowFormat
from batchgate.engine.upstream import RequestRow, UpstreamRequest

logger = logging.getLogger(__name__)

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 60.0  # seconds
TRIES = 5
"""How often a request is sent when the provider keeps failing in ways that are not a matter of load."""

LOAD = frozenset({"rate_limit_error", "overloaded_error"})
"""Kinds of error that waiting always mends: tried again until the deadline."""

Sending = Callable[[bool], None]
"""Told when a call begins and when it is over: a call under way is not interrupted by a cancel."""


class Executor:
    """Runs requests one at a time; the caller runs many of them side by side."""

    def __init__(
        self,
        router: Router,
        rows: RowFormat,
        sleep: Callable[[float], Awaitable[None]],
        chance: random.Random,
    ) -> None:
        self._router = router
        self._rows = rows
        self._sleep = sleep
        self._chance = chance

    async def run(self, batch: Batch, seq: int, line: bytes, sending: Sending) -> ResultLine:
        """Run the request of an input line; every outcome is a result line."""
        try:
            row = self._rows.read(line)
            message = await self._answer(batch, row, sending)
        except RequestError as error:
            return self._errored(seq, line, error)
        except Exception:
            logger.exception("a request failed in the gateway itself", extra={"batch": batch.id, "seq": seq})
            return self._errored(
                seq, line, RequestError("api_error", "the gateway failed on this request; its log says why")
            )
        return ResultLine(seq=seq, ending="succeeded", line=self._rows.succeeded(row.custom_id, message))

    def _errored(self, seq: int, line: bytes, error: RequestError) -> ResultLine:
        written = self._rows.errored(self._rows.custom_id(line), error)
        return ResultLine(seq=seq, ending="errored", line=written)

    async def _answer(self, batch: Batch, row: InputRow, sending: Sending) -> bytes:
        route = self._router.route(batch.provider, row.model)
        request = RequestRow(custom_id=row.custom_id, params=row.params, model=route.model, headers=batch.headers)
        call = route.endpoint.handler.encode(route.endpoint.account, request)
        tries = 0
        while True:
            tries += 1
            try:
                return await self._call(route, request, call, sending)
            except UpstreamError as error:
                if not _may_retry(error, tries):
                    raise
                await self._sleep(self._delay(error, tries))

    async def _call(self, route: Route, request: RequestRow, call: UpstreamRequest, sending: Sending) -> bytes:
        async with route.limiter.slot() as entered:
            sending(True)
            try:
                response = await route.endpoint.transport.send(call)
                message = route.endpoint.handler.decode(request, response)
            except UpstreamError as error:
                _tell(route.limiter, entered, error)
                raise
            finally:
                sending(False)
            route.limiter.succeeded()
            return message

    def _delay(self, error: UpstreamError, tries: int) -> float:
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, 10))
        backoff = longest * self._chance.uniform(0.5, 1.0)
        return max(backoff, error.retry_after or 0.0)


def _may_retry(error: UpstreamError, tries: int) -> bool:
    """Tell if another try is right; the deadline is kept by whoever cancels this task when it has come."""
    return error.retry_safe and (error.kind in LOAD or error.status == 0 or tries < TRIES)


def _tell(limiter: Limiter, entered: float, error: UpstreamError) -> None:
    if error.kind in LOAD or error.kind == "timeout_error":
        limiter.overloaded(entered, error.retry_after)
