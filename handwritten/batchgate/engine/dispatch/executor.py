"""Runs one request to its end: route, gate, call, and as many tries as are safe before the deadline."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from batchgate.engine.dispatch import limits
from batchgate.engine.dispatch.endpoint import Call
from batchgate.engine.dispatch.limits import Limiter, Outcome, Permit
from batchgate.engine.dispatch.retries import Retries
from batchgate.engine.dispatch.router import Route, Router
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.cost import cost_of
from batchgate.engine.model.errors import RequestError, UpstreamError
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.rows import InputRow, LineTranslator, RowFormat
from batchgate.engine.ports.telemetry import ABANDONED, SUCCEEDED, Telemetry
from batchgate.engine.support.fair_yield import FairYield

logger = logging.getLogger(__name__)

OnSending = Callable[[bool], None]
"""Told when a call begins and when it is over: a call under way is not interrupted by a cancel."""


class PreparedRequest(Struct, frozen=True):
    """A request that has been read, and where it goes."""

    seq: int
    row: InputRow
    route: Route


class _Course(Struct):
    """One request on its way: what it belongs to, how it is called, and how it has fared."""

    batch: Batch
    seq: int
    call: Call
    limiter: Limiter
    sending: OnSending
    retries: Retries

    @property
    def account(self) -> str:
        return self.call.endpoint.account.name


class Executor:
    """Runs requests one at a time; the caller runs many of them side by side."""

    def __init__(
        self,
        router: Router,
        rows: Mapping[Dialect, RowFormat],
        translator: LineTranslator,
        chance: random.Random,
        telemetry: Telemetry,
    ) -> None:
        self._router = router
        self._rows = rows
        self._translator = translator
        self._chance = chance
        self._telemetry = telemetry
        self._turns = FairYield()

    def prepare(self, batch: Batch, seq: int, line: bytes) -> PreparedRequest | ResultLine:
        """Read the request of an input line; what cannot be run has its result already."""
        rows = self._rows[batch.dialect]
        try:
            row = rows.read(line, batch.options.model)
            return PreparedRequest(seq, row, self._router.route(batch.provider, row.model))
        except Exception as error:  # noqa: BLE001 - whatever it is, the request must have a result
            return self._errored(batch, seq, rows.custom_id(line), error)

    async def run(self, batch: Batch, request: PreparedRequest, sending: OnSending) -> ResultLine:
        """Run a request; every outcome is a result line."""
        seq, row = request.seq, request.row
        try:
            answer = await self._answer(self._course(batch, request, sending))
        except Exception as error:  # noqa: BLE001 - likewise
            return self._errored(batch, seq, row.custom_id, error)
        line = self._rows[batch.dialect].succeeded_line(row.custom_id, answer)
        usage = self._translator.usage(batch.options.kind, answer)
        cost = cost_of(usage, request.route.endpoint.account, request.route.model)
        return ResultLine(seq=seq, status="succeeded", line=line, usage=usage, cost=cost)

    def _errored(self, batch: Batch, seq: int, custom_id: str, error: Exception) -> ResultLine:
        if not isinstance(error, RequestError):
            fields = {"action": "request_failed", "batch": batch.id, "seq": seq}
            logger.error("a request failed in the gateway itself", exc_info=error, extra=fields)
            error = RequestError("api_error", "the gateway failed on this request; its log says why")
        return ResultLine(seq=seq, status="errored", line=self._rows[batch.dialect].errored_line(custom_id, error))

    def _course(self, batch: Batch, request: PreparedRequest, sending: OnSending) -> _Course:
        row, route = request.row, request.route
        upstream = RequestRow(
            custom_id=row.custom_id,
            params=row.params,
            model=route.model,
            headers=batch.headers,
            kind=batch.options.kind,
        )
        call = Call(route.endpoint, upstream)
        return _Course(batch, request.seq, call, route.limiter, sending, Retries(self._chance))

    async def _answer(self, course: _Course) -> bytes:
        while True:
            try:
                return await self._try(course)
            except UpstreamError as error:
                if not course.retries.again:
                    raise
                self._telemetry.call_retried(course.batch, course.account, course.call.row, error.kind)

    async def _try(self, course: _Course) -> bytes:
        """Make one call when it is its turn; limits and retries learn from it, and a failure is raised."""
        ticket = await self._enter(course)
        course.sending(True)
        begun, told, outcome = time.perf_counter(), ABANDONED, limits.ABANDONED
        try:
            message = await self._send(course, ticket)
            told, outcome = SUCCEEDED, limits.SERVED
        except UpstreamError as error:
            told = error.kind
            outcome = await self._failed(course, error)
            raise
        else:
            return message
        finally:
            course.sending(False)
            course.limiter.leave(ticket, outcome)
            seconds = time.perf_counter() - begun
            self._telemetry.call_ended(course.batch, course.account, course.call.row, told, seconds)

    async def _failed(self, course: _Course, error: UpstreamError) -> Outcome:
        """Let the retries know, and tell what the limits shall learn: nothing from a key that is replaced by now."""
        outcome = limits.outcome_of(error)
        now = asyncio.get_running_loop().time()
        course.retries.failed(error, outcome, now=now, served_since=course.limiter.served_since(outcome.kind))
        return limits.ABANDONED if outcome.turned_away and await course.call.key_is_outdated() else outcome

    async def _enter(self, course: _Course) -> Permit:
        limiter, retries = course.limiter, course.retries
        order = (retries.rejections, course.seq, course.batch.key)
        tokens = course.call.endpoint.meter.estimate_tokens(course.call.upstream) if limiter.counts_tokens else 0
        return await limiter.enter(order, tokens=tokens, rest=retries.rest, refused=retries.refused)

    async def _send(self, course: _Course, ticket: Permit) -> bytes:
        endpoint = course.call.endpoint
        if ticket.probe:
            await endpoint.renew_key()
        response = await endpoint.transport.send(course.call.upstream)
        await self._turns.wait_turn()
        self._read_meter(course, ticket, response)
        return endpoint.handler.decode(course.call.row, response)

    def _read_meter(self, course: _Course, ticket: Permit, response: UpstreamResponse) -> None:
        meter, limiter = course.call.endpoint.meter, course.limiter
        allowances = meter.allowances(response)
        if response.status != 200 or not (allowances or limiter.counts_tokens):
            return  # a refusal says itself when to come back
        used = meter.tokens_used(response)
        if used is not None:
            limiter.used(ticket, used)
        limiter.told(allowances)
