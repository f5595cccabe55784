"""Runs one request: routes it, acquires a permit, calls the provider, and retries while that is safe."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from batchgate.engine.dispatch import limits
from batchgate.engine.dispatch.direct_rate import DirectRate
from batchgate.engine.dispatch.endpoint import Call, lane_of
from batchgate.engine.dispatch.limits import CallOutcome, Limiter, Permit
from batchgate.engine.dispatch.refusal_log import RefusalLog
from batchgate.engine.dispatch.result_builder import ResultBuilder
from batchgate.engine.dispatch.retries import Retries
from batchgate.engine.dispatch.router import Route, Router
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.clock import Clock, SystemClock
from batchgate.engine.model.errors import RequestError, UpstreamError
from batchgate.engine.model.health_report import Refusal, one_line
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.rows import InputRow, LineTranslator, RowFormat
from batchgate.engine.ports.telemetry import ABANDONED, SUCCEEDED, Telemetry
from batchgate.engine.support.fair_yield import FairYield

OnSending = Callable[[bool], None]
"""Called with True when a call starts and with False when it ends: a cancel does not interrupt a call in flight."""

OnRefused = Callable[[Refusal], None]
"""Called when a call failed and the request waits for another one."""


class PreparedRequest(Struct, frozen=True):
    """A request that has been read, and its route."""

    seq: int
    row: InputRow
    route: Route


def request_row(batch: Batch, request: PreparedRequest) -> RequestRow:
    """Return a request as the handler of its provider encodes it."""
    return RequestRow(
        custom_id=request.row.custom_id,
        params=request.row.params,
        model=request.route.model,
        headers=batch.headers,
        kind=batch.options.kind,
    )


def _native_refusal(batch: Batch, request: PreparedRequest) -> str:
    """Say why a request of the lane ``native`` is in no job."""
    endpoint = request.route.endpoint
    if endpoint.batches is None:
        return f"lane: account {endpoint.account.name!r} has no batch API; choose the lane auto or direct"
    refusal = endpoint.batches.refusal(request_row(batch, request))
    return f"{refusal or 'its job gave no answer'}; in the lane auto it would run directly"


class _RequestRun(Struct):
    """One request while it runs."""

    batch: Batch
    seq: int
    call: Call
    limiter: Limiter
    on_sending: OnSending
    on_refused: OnRefused | None
    retries: Retries

    @property
    def account(self) -> str:
        return self.call.endpoint.account.name


class Executor:
    """Runs single requests; the caller runs many of them concurrently."""

    def __init__(
        self,
        router: Router,
        rows: Mapping[Dialect, RowFormat],
        translator: LineTranslator,
        rng: random.Random,
        telemetry: Telemetry,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._refusal_log = RefusalLog()
        self._router = router
        self._rows = rows
        self.results = ResultBuilder(rows, translator)
        self._rng = rng
        self._telemetry = telemetry
        self._fair_yield = FairYield()
        self.rate = DirectRate(router)

    def prepare(self, batch: Batch, seq: int, line: bytes) -> PreparedRequest | ResultLine:
        """Read and route the request of an input line; return an errored result if that is impossible."""
        rows = self._rows[batch.dialect]
        try:
            row = rows.read(line, batch.options.model)
            return PreparedRequest(seq, row, self._router.route(batch.provider, row.model))
        except Exception as error:  # noqa: BLE001 - after any error the request must have a result
            return self.results.errored(batch, seq, rows.custom_id(line), error)

    def prepare_call(self, batch: Batch, seq: int, line: bytes) -> PreparedRequest | ResultLine:
        """Prepare the request of an input line for a call; it gets an errored result if its lane allows no call."""
        request = self.prepare(batch, seq, line)
        if isinstance(request, ResultLine) or lane_of(batch.options, request.route.endpoint) != "native":
            return request
        error = RequestError("invalid_request_error", _native_refusal(batch, request))
        return self.results.errored(batch, seq, request.row.custom_id, error)

    async def run(
        self, batch: Batch, request: PreparedRequest, on_sending: OnSending, on_refused: OnRefused | None = None
    ) -> ResultLine:
        """Run a request and return its result; every error becomes an errored result."""
        seq, row = request.seq, request.row
        try:
            answer = await self._call_with_retries(self._request_run(batch, request, on_sending, on_refused))
        except Exception as error:  # noqa: BLE001 - after any error the request must have a result
            return self.results.errored(batch, seq, row.custom_id, error)
        account, model = request.route.endpoint.account, request.route.model
        return self.results.succeeded(batch, seq, row.custom_id, answer, account=account, model=model)

    def expired_result(self, batch: Batch, request: PreparedRequest, refusal: Refusal) -> ResultLine | None:
        """Return the result of a request that expired after a refusal; None if its format has no room for that."""
        status = f" ({refusal.status})" if refusal.status else ""
        reason = f"The last call ended with {refusal.kind}{status}: {refusal.message}"
        return self.results.expired(batch, request.seq, request.row.custom_id, reason)

    def _request_run(
        self, batch: Batch, request: PreparedRequest, on_sending: OnSending, on_refused: OnRefused | None
    ) -> _RequestRun:
        route = request.route
        call = Call(route.endpoint, request_row(batch, request))
        return _RequestRun(batch, request.seq, call, route.limiter, on_sending, on_refused, Retries(self._rng))

    async def _call_with_retries(self, run: _RequestRun) -> bytes:
        while True:
            try:
                return await self._call(run)
            except UpstreamError as error:
                if not run.retries.should_retry:
                    raise
                self._telemetry.call_retried(run.batch, run.account, run.call.row, error.kind)
                self._report_refusal(run, error)

    def _report_refusal(self, run: _RequestRun, error: UpstreamError) -> None:
        """Report a failed call whose request waits for another one."""
        refusal = Refusal(
            kind=error.kind,
            status=error.status,
            message=one_line(error.message),
            account=run.account,
            model=run.call.row.model,
            at=self._clock.now(),
        )
        self._refusal_log.record(refusal, asyncio.get_running_loop().time())
        if run.on_refused is not None:
            run.on_refused(refusal)

    async def _call(self, run: _RequestRun) -> bytes:
        """Make one call when the limiter permits it, record its outcome, and return the answer.

        Raises `UpstreamError` when the call fails.
        """
        permit = await self._acquire_permit(run)
        run.on_sending(True)
        started, reported, outcome = time.perf_counter(), ABANDONED, limits.ABANDONED
        try:
            answer = await self._send(run, permit)
            reported, outcome = SUCCEEDED, limits.SERVED
        except UpstreamError as error:
            reported = error.kind
            outcome = await self._record_failure(run, error)
            raise
        else:
            return answer
        finally:
            run.on_sending(False)
            run.limiter.release(permit, outcome)
            seconds = time.perf_counter() - started
            self._telemetry.call_ended(run.batch, run.account, run.call.row, reported, seconds)
            if reported == SUCCEEDED:
                self.rate.record(run.account, seconds)

    async def _record_failure(self, run: _RequestRun, error: UpstreamError) -> CallOutcome:
        """Update the retries, and return the outcome for the limits: none if the rejected key was replaced since."""
        outcome = limits.outcome_of(error)
        now = asyncio.get_running_loop().time()
        last_success = run.limiter.last_success(outcome.kind)
        run.retries.record_failure(error, outcome, now=now, last_success=last_success)
        return limits.ABANDONED if outcome.denied and await run.call.key_was_replaced() else outcome

    async def _acquire_permit(self, run: _RequestRun) -> Permit:
        limiter, retries = run.limiter, run.retries
        precedence = (retries.demotions, run.seq, run.batch.key)
        tokens = run.call.endpoint.meter.estimate_tokens(run.call.upstream) if limiter.counts_tokens else 0
        return await limiter.acquire(precedence, tokens=tokens, delay=retries.delay, refused=retries.refused)

    async def _send(self, run: _RequestRun, permit: Permit) -> bytes:
        endpoint = run.call.endpoint
        if permit.is_probe:
            await endpoint.refresh_key()
        response = await endpoint.transport.send(run.call.upstream)
        await self._fair_yield.wait_turn()
        self._update_limits(run, permit, response)
        return endpoint.handler.decode(run.call.row, response)

    def _update_limits(self, run: _RequestRun, permit: Permit, response: UpstreamResponse) -> None:
        """Pass the used tokens and remaining allowances of a response to the limiter; errors state allowances too."""
        meter, limiter = run.call.endpoint.meter, run.limiter
        allowances = meter.allowances(response)
        is_answer = 200 <= response.status < 300
        if not (allowances or (is_answer and limiter.counts_tokens)):
            return
        tokens = meter.tokens_used(response) if is_answer else None
        if tokens is not None:
            limiter.record_tokens(permit, tokens)
        if is_answer or allowances:
            limiter.update_allowances(allowances)
