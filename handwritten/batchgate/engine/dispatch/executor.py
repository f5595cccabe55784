"""Runs one request: routes it, acquires a permit, calls the provider, and retries while that is safe."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from batchgate.engine.dispatch import limits
from batchgate.engine.dispatch.batch_caps import CallPlaces
from batchgate.engine.dispatch.budget_gate import BudgetGate
from batchgate.engine.dispatch.direct_rate import DirectRate
from batchgate.engine.dispatch.endpoint import AccountEndpoint, Call, lane_of
from batchgate.engine.dispatch.kept_outputs import keep_outputs
from batchgate.engine.dispatch.lane_choice import reason_to_call
from batchgate.engine.dispatch.limits import CallOutcome, Limiter, Permit
from batchgate.engine.dispatch.prepared_request import PreparedRequest, request_row
from batchgate.engine.dispatch.refusal_log import RefusalLog
from batchgate.engine.dispatch.request_reader import RequestReader
from batchgate.engine.dispatch.request_run import KeptParts, OnRefused, OnSending, RequestRun
from batchgate.engine.dispatch.result_builder import ResultBuilder
from batchgate.engine.dispatch.retries import Retries
from batchgate.engine.dispatch.router import Router
from batchgate.engine.dispatch.shard_extras import ShardExtras, output_answer
from batchgate.engine.dispatch.task_calls import await_task, cancel_task
from batchgate.engine.dispatch.token_history import TokenHistory
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.call_history import CallHistory
from batchgate.engine.model.clock import MICROSECONDS, Clock, SystemClock
from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, StaleClaim, UpstreamError
from batchgate.engine.model.health_report import Refusal, one_line
from batchgate.engine.model.provider_call import OWN_KINDS, UpstreamRequest, UpstreamResponse
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.model.retried_calls import reason_of
from batchgate.engine.model.series import CallFacts
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.ports.provider_tasks import ProviderTasks
from batchgate.engine.ports.rows import LineTranslator, RowFormat
from batchgate.engine.ports.telemetry import ABANDONED, SUCCEEDED, EndedCall, Telemetry
from batchgate.engine.support.fair_yield import FairYield

BEFORE_OTHERS: Final = -1
"""The precedence of requests whose tasks run already."""


def _without_job(endpoint: AccountEndpoint) -> str:
    """Say why a request of the lane ``native`` that a job would take has no answer."""
    least = endpoint.min_job_requests
    or_too_few = f", or fewer than {least} requests have this model" if least > 1 else ""
    return f"its job gave no answer, and the job's reason says why{or_too_few}"


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
        self._translator = translator
        self._requests = RequestReader(router, rows)
        self.results = ResultBuilder(rows, translator)
        self._rng = rng
        self._telemetry = telemetry
        self._fair_yield = FairYield()
        self.rate = DirectRate(router)
        self.tokens = TokenHistory(translator.request_tokens)

    def prepare(self, batch: Batch, seq: int, line: bytes) -> PreparedRequest | ResultLine:
        """Read and route the request of an input line; return an errored result if that is impossible."""
        try:
            return self._requests.read(batch, seq, line)
        except Exception as error:  # noqa: BLE001 - after any error the request must have a result
            return self.results.errored(batch, seq, self._requests.custom_id(batch, line), error, called=None)

    def prepare_call(
        self, batch: Batch, seq: int, line: bytes, *, was_sent: bool = False
    ) -> PreparedRequest | ResultLine:
        """Prepare the request of an input line for a call; it gets an errored result if its lane allows no call.

        ``was_sent``: its call was made before the batch had the lane, and has left a task.
        """
        request = self.prepare(batch, seq, line)
        if was_sent or isinstance(request, ResultLine):
            return request
        if lane_of(batch.options, request.route.endpoint) != "native":
            return request
        error = self._error_without_call(batch, request, len(line))
        return self.results.errored(batch, seq, request.row.custom_id, error, called=request.route.called)

    def _error_without_call(self, batch: Batch, request: PreparedRequest, size: int) -> Exception:
        """Return why a request of the lane ``native`` has no answer: also what kept its job from sending it."""
        endpoint = request.route.endpoint
        reason = reason_to_call(batch, request, size, now=self._clock.now())
        if reason is None and endpoint.batches is not None:
            try:
                endpoint.batches.encode(endpoint.account, request_row(batch, request), "")
            except Exception as error:  # noqa: BLE001 - after any error the request must have a result
                return error
        text = _without_job(endpoint) if reason is None else reason.text
        return RequestError("invalid_request_error", f"{text}; in the lane auto it would run directly")

    async def run(  # noqa: PLR0917
        self,
        batch: Batch,
        request: PreparedRequest,
        on_sending: OnSending,
        on_refused: OnRefused | None = None,
        extras: ShardExtras | None = None,
        gate: BudgetGate | None = None,
        places: CallPlaces | None = None,
    ) -> ResultLine:
        """Run a request and return its result; every error becomes an errored result.

        ``extras`` store what requests of providers with tasks or content have beside their results. Calls wait for
        one of the ``places``, and at the ``gate``.
        """
        seq, row, kept, called = request.seq, request.row, KeptParts(), request.route.called
        try:
            run = self._request_run(batch, request, on_sending, on_refused, extras, gate, places, kept)
            answer = await self._answer(run)
        except Exception as error:  # noqa: BLE001 - after any error the request must have a result
            result = self.results.errored(batch, seq, row.custom_id, error, called=called)
            # After an internal error the task may still run: the clean-up cancels it.
            return kept.added_to(result) if isinstance(error, UpstreamError) else result
        prices = request.route.endpoint.prices.find(request.route.model)
        result = self.results.succeeded(
            batch,
            seq,
            row.custom_id,
            answer,
            called=called,
            prices=prices,
            native=False,
            stated_cost=kept.stated_cost,
        )
        self.tokens.record(request.route.key, batch.options.kind, row.params, result.usage)
        return kept.added_to(result)

    @property
    def history(self) -> CallHistory:
        """What the calls so far have shown."""
        return CallHistory(seconds=self.rate.measured(), tokens=self.tokens.learned())

    def has_share(self, request: PreparedRequest) -> bool:
        """Return whether this worker has a share of the limits of the request's account."""
        return not self._router.limiter(request.route).without_share

    def expired_result(self, batch: Batch, request: PreparedRequest, refusal: Refusal) -> ResultLine | None:
        """Return the result of a request that expired after a refusal; None if its format has no room for that."""
        status = f" ({refusal.status})" if refusal.status else ""
        reason = f"The last call ended with {refusal.kind}{status}: {refusal.message}"
        return self.results.expired(batch, request.seq, request.row.custom_id, reason)

    def _request_run(  # noqa: PLR0917
        self,
        batch: Batch,
        request: PreparedRequest,
        on_sending: OnSending,
        on_refused: OnRefused | None,
        extras: ShardExtras | None,
        gate: BudgetGate | None,
        places: CallPlaces | None,
        kept: KeptParts,
    ) -> RequestRun:
        limiter, retries = self._router.limiter(request.route), Retries(self._rng)
        call = Call(request.route.endpoint, request_row(batch, request))
        places = places or CallPlaces()
        return RequestRun(
            batch, request.seq, call, limiter, on_sending, on_refused, retries, extras, gate, places, kept
        )

    async def _answer(self, run: RequestRun) -> bytes:
        """Return the answer: of the task that runs for the request already, or of a new call."""
        if run.call.endpoint.tasks is not None:
            run.kept.task = await run.needed_extras.find_task(run.seq)
            if run.kept.task is not None:
                with run.places.taken_at_once():
                    return await self._resume(run, run.kept.task)
        return await self._call_with_retries(run)

    async def _call_with_retries(self, run: RequestRun) -> bytes:
        while True:
            try:
                async with run.places:
                    return await self._call(run)
            except UpstreamError as error:
                if not run.retries.should_retry:
                    raise
                self._telemetry.call_retried(run.batch, run.account, run.call.row, error.kind)
                self._report_refusal(run, error)
                await run.places.wait_without(run.retries)

    def _report_refusal(self, run: RequestRun, error: UpstreamError) -> None:
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
            run.on_refused(refusal, reason_of(error))

    async def _call(self, run: RequestRun) -> bytes:
        """Make one call when the limiter permits it, record its outcome, and return the answer.

        Raises `UpstreamError` when the call fails.
        """
        permit = await self._acquire_permit(run)
        if run.gate is not None:
            await self._wait_at(run.gate, run.account, run.limiter, permit)
        run.on_sending(True)
        started, reported, outcome, answer = time.perf_counter(), ABANDONED, limits.ABANDONED, None
        try:
            answer = await self._send(run, permit)
            # The creation of a task was counted when it was accepted.
            reported, outcome = SUCCEEDED, limits.SERVED if run.kept.task is None else limits.ABANDONED
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
            run.kept.call = CallFacts(round(seconds * MICROSECONDS), run.limiter.whole_limit)
            self._telemetry.call_ended(self._ended_call(run, reported, seconds, answer))
            if reported == SUCCEEDED:
                self.rate.record(run.account, seconds)

    def _ended_call(self, run: RequestRun, outcome: str, seconds: float, answer: bytes | None) -> EndedCall:
        account, row = run.call.endpoint.account, run.call.row
        return EndedCall(
            batch=run.batch,
            account=account.name,
            provider=account.provider,
            request=row,
            outcome=outcome,
            seconds=seconds,
            read_answer=None if answer is None else partial(self._translator.facts, row.kind, answer),
        )

    @staticmethod
    async def _wait_at(gate: BudgetGate, account: str, limiter: Limiter, permit: Permit) -> None:
        """Wait with a permit until the answers so far have not paused the batch, and no budget does."""
        try:
            await gate.wait(account)
        except BaseException:
            limiter.release(permit, limits.ABANDONED)
            raise

    async def _record_failure(self, run: RequestRun, error: UpstreamError) -> CallOutcome:
        """Update the retries, and return the outcome for the limits: none if the rejected key was replaced since."""
        outcome = limits.outcome_of(error)
        now = asyncio.get_running_loop().time()
        last_success = run.limiter.last_success(outcome.kind)
        run.retries.record_failure(error, outcome, now=now, last_success=last_success)
        return limits.ABANDONED if outcome.denied and await run.call.key_was_replaced() else outcome

    async def _acquire_permit(self, run: RequestRun) -> Permit:
        limiter, retries = run.limiter, run.retries
        precedence = (retries.demotions, run.seq, run.batch.key)
        tokens = run.call.endpoint.meter.estimate_tokens(run.call.upstream) if limiter.counts_tokens else 0
        return await limiter.acquire(precedence, tokens=tokens, delay=retries.delay, refused=retries.refused)

    async def _send(self, run: RequestRun, permit: Permit) -> bytes:
        endpoint = run.call.endpoint
        if permit.is_probe:
            await endpoint.refresh_key()
        upstream = run.call.upstream.signed()
        if upstream.makes_file:
            return await self._receive_output(run, permit, upstream)
        response = await endpoint.transport.send(upstream)
        await self._fair_yield.wait_turn()
        self._update_limits(run, permit, response)
        if endpoint.tasks is not None:
            response = await self._end_of_task(run, permit, endpoint.tasks, response)
            return await self._task_answer(run, endpoint, endpoint.tasks, response)
        answer = endpoint.handler.decode(run.call.row, response)
        run.kept.stated_cost = endpoint.meter.stated_cost(response, native=False)
        return answer

    async def _end_of_task(
        self, run: RequestRun, permit: Permit, tasks: ProviderTasks, response: UpstreamResponse
    ) -> UpstreamResponse:
        """Store the task that a call created, and return the response that says that it has ended.

        A task keeps the place of its call, but it is no call in flight: it can be left at any time.
        """
        state = tasks.read(response)
        if state is None or not state.is_running:
            return response
        try:
            task = await run.needed_extras.save_task(run.seq, run.account, state.task_id)
        except StaleClaim as error:
            with suppress(NoUpstreamAnswer):
                await cancel_task(run.call.endpoint, tasks, state.task_id)
            raise RequestError("api_error", "another worker has claimed the shard, and runs the request") from error
        run.kept.task = task
        run.limiter.confirm(permit)
        run.on_sending(False)
        return await await_task(run.call.endpoint, tasks, task, partial(self._requested_wait, run))

    async def _resume(self, run: RequestRun, task: ProviderTask) -> bytes:
        """Poll the task that an earlier run has stored, before requests that have none are sent."""
        endpoint = self._router.endpoint(task.account)
        if endpoint is None or endpoint.tasks is None:
            message = f"the task {task.task_id} runs for account {task.account!r}, which is no longer configured"
            raise NoUpstreamAnswer("api_error", message, status=0, retry_safe=False)
        permit = await run.limiter.acquire((BEFORE_OTHERS, run.seq, run.batch.key))
        try:
            response = await await_task(endpoint, endpoint.tasks, task, partial(self._requested_wait, run))
            return await self._task_answer(run, endpoint, endpoint.tasks, response)
        finally:
            run.limiter.release(permit, limits.ABANDONED)

    async def _task_answer(
        self, run: RequestRun, endpoint: AccountEndpoint, tasks: ProviderTasks, response: UpstreamResponse
    ) -> bytes:
        """Return the answer of a task that has ended, and keep what it made if the account asks for that."""
        answer = endpoint.handler.decode(run.call.row, response)
        if not endpoint.account.keep_outputs or run.call.row.kind not in OWN_KINDS or endpoint.downloads is None:
            return answer
        urls, extras = tasks.output_urls(answer), run.needed_extras
        answer, files = await keep_outputs(endpoint, endpoint.downloads, extras, answer, urls)
        run.kept.outputs = tuple(files)
        return answer

    def _requested_wait(self, run: RequestRun, response: UpstreamResponse) -> float | None:
        """Return the seconds that an error response asks to wait."""
        try:
            run.call.endpoint.handler.decode(run.call.row, response)
        except UpstreamError as error:
            return error.retry_after
        return None

    async def _receive_output(self, run: RequestRun, permit: Permit, upstream: UpstreamRequest) -> bytes:
        """Store the content of an answer as a file, and return what the result says about it."""
        endpoint = run.call.endpoint
        if endpoint.contents is None:
            raise RuntimeError(f"account {run.account!r} has no transport for content")
        receive = partial(endpoint.contents.receive, upstream)
        response, output = await run.needed_extras.receive_output(endpoint.account, receive)
        self._update_limits(run, permit, response)
        if output is None:
            return endpoint.handler.decode(run.call.row, response)
        run.kept.outputs = (output,)
        return output_answer(output)

    def _update_limits(self, run: RequestRun, permit: Permit, response: UpstreamResponse) -> None:
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
