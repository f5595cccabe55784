"""The executor: retries, pauses and results, against simulated and scripted providers in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.shard import ResultLine
from batchgate.providers.simulator.simulator import SimulatorSettings, SimulatorTransport
from tests.support.engine_parts import EngineParts, parts
from tests.support.virtual_time import in_virtual_time

OK = b'{"type":"message","role":"assistant","content":[],"usage":{"input_tokens":1,"output_tokens":1}}'


class Scripted:
    """A transport that answers with what a function returns, and records the time and key of each call."""

    def __init__(
        self, answer: Callable[[UpstreamRequest], int | Exception | UpstreamResponse], latency: float = 0.1
    ) -> None:
        self.answer = answer
        self.latency = latency
        self.calls: list[tuple[float, str | None]] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Answer with a status after the latency, or raise."""
        self.calls.append((asyncio.get_running_loop().time(), request.headers.get("x-api-key")))
        answered = self.answer(request)
        await asyncio.sleep(self.latency)
        if isinstance(answered, Exception):
            raise answered
        if isinstance(answered, UpstreamResponse):
            return answered
        return UpstreamResponse(status=answered, headers={}, body=OK if answered == 200 else b"{}")


class Counted:
    """A simulated model that counts its answers by status."""

    def __init__(self, **settings: Any) -> None:
        self._transport = SimulatorTransport(SimulatorSettings(**settings))
        self.answers: Counter[int] = Counter()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Answer as the simulated model does."""
        response = await self._transport.send(request)
        self.answers[response.status] += 1
        return response


async def read(key: str) -> str:
    return key


def endings(results: list[ResultLine]) -> Counter[str]:
    return Counter(result.status for result in results)


def problems(engine: EngineParts) -> tuple[str, ...]:
    return tuple(pause.reason for pause in engine.router.pauses)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("cap", [64, 256])
@in_virtual_time
async def test_against_a_provider_that_accepts_four_nothing_fails_and_little_of_its_capacity_is_lost(cap: int) -> None:
    model = Counted(latency=0.05, jitter=0.05, max_concurrency=4, retry_after=1.0)
    results = await parts(model, concurrency=cap).run_all(1_200)
    assert endings(results) == {"succeeded": 1_200}
    assert 1_200 / now() >= 0.97 * 4 / 0.05
    assert model.answers[429] < cap + 30


@in_virtual_time
async def test_random_refusals_cost_little_throughput_and_fail_no_request() -> None:
    model = Counted(latency=0.5, jitter=0.05, rate_limit_rate=0.1, retry_after=1.0)
    results = await parts(model, concurrency=64).run_all(5_000)
    assert endings(results) == {"succeeded": 5_000}
    assert 5_000 / now() >= 0.9 * 64 / 0.5


@pytest.mark.parametrize("first", [1, 3, 20])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@in_virtual_time
async def test_after_a_small_batch_with_random_refusals_a_large_one_runs_at_full_concurrency(
    first: int, seed: int
) -> None:
    model = Counted(latency=0.4, jitter=0.5, rate_limit_rate=0.1, retry_after=0.2, seed=seed)
    engine = parts(model, concurrency=64, seed=seed)
    await engine.run_all(first)
    began = now()
    results = await asyncio.gather(*(engine.run(number, key=2) for number in range(100, 400)))
    assert endings(results) == {"succeeded": 300}
    assert now() - began < 1.7 * 300 * 0.4 / 64


@pytest.mark.parametrize("accepted", [1, 5, 20, 40, 63])
@in_virtual_time
async def test_a_provider_that_accepts_fewer_calls_than_the_cap_refuses_few_of_them(accepted: int) -> None:
    model = Counted(latency=0.05, jitter=0.05, max_concurrency=accepted, retry_after=1.0)
    results = await parts(model, concurrency=64).run_all(1_200)
    assert endings(results) == {"succeeded": 1_200}
    assert 1_200 / now() >= 0.95 * accepted / 0.05
    assert model.answers[429] < 64 - accepted + 30


@in_virtual_time
async def test_a_provider_that_refuses_for_an_hour_fails_nothing() -> None:
    transport = Scripted(lambda _: 529 if now() < 3600 else 200)
    results = await parts(transport).run_all(50)
    assert endings(results) == {"succeeded": 50}
    assert now() < 3700
    assert len(transport.calls) < 500


TRANSIENT = {
    "timeout": NoUpstreamAnswer("timeout_error", "no whole answer", status=0, retry_safe=True),
    "broken connection": NoUpstreamAnswer("api_error", "it broke", status=0, retry_safe=True),
    "not a message": UpstreamResponse(status=200, headers={}, body=b"<html>"),
    "server error": 500,
}


@pytest.mark.parametrize("answer", TRANSIENT.values(), ids=TRANSIENT)
@in_virtual_time
async def test_a_request_without_a_usable_answer_is_sent_five_times_at_most(
    answer: int | Exception | UpstreamResponse,
) -> None:
    transport = Scripted(lambda _: answer if len(transport.calls) <= 4 else 200)
    assert (await parts(transport).run()).status == "succeeded"
    assert len(transport.calls) == 5
    never = Scripted(lambda _: answer)
    assert (await parts(never).run()).status == "errored"
    assert len(never.calls) == 5


@pytest.mark.parametrize("begins", [0.0, 5.0])
@pytest.mark.parametrize("cap", [2, 64])
@in_virtual_time
async def test_an_outage_of_an_hour_fails_nothing_and_is_reported(begins: float, cap: int) -> None:
    transport = Scripted(lambda _: 502 if begins <= now() < begins + 3600 else 200)
    engine = parts(transport, concurrency=cap)
    work = asyncio.create_task(engine.run_all(100 * cap))
    await asyncio.sleep(begins + 10)
    assert problems(engine) == (
        "model 'm' of account 'a' is paused: the provider answers every request with an error (502)",
    )
    assert endings(await work) == {"succeeded": 100 * cap}
    assert problems(engine) == ()
    during = [time for time, _ in transport.calls if begins + 10 < time < begins + 3600]
    assert len(during) < 500
    assert now() < begins + 3600 + 30 + 100 * 0.1


@in_virtual_time
async def test_a_request_that_alone_meets_server_errors_is_errored_after_five_calls_and_pauses_nothing() -> None:
    poison: list[float] = []

    def answer(request: UpstreamRequest) -> int:
        if b'"7"' not in request.body:
            return 200
        poison.append(now())
        return 500

    engine = parts(Scripted(answer), concurrency=4)
    results = await engine.run_all(1_000)
    assert [result.seq for result in results if result.status == "errored"] == [7]
    assert len(poison) == 5
    assert now() < 30


@in_virtual_time
async def test_more_faulty_requests_in_a_row_than_make_an_outage_do_not_delay_the_others() -> None:
    served: list[float] = []

    def answer(request: UpstreamRequest) -> int:
        if b'"content":"1' in request.body:
            return 500
        served.append(now())
        return 200

    results = await parts(Scripted(answer), concurrency=4).run_all(400)
    assert endings(results) == {"succeeded": 400 - 111, "errored": 111}
    assert served[-1] < 1_500
    assert now() < 5 * 3600  # the faulty ones left at the end look like an outage for a while


@in_virtual_time
async def test_a_few_requests_that_all_meet_server_errors_are_errored_within_a_minute() -> None:
    transport = Scripted(lambda _: 500)
    assert endings(await parts(transport).run_all(5)) == {"errored": 5}
    assert len(transport.calls) == 25
    assert now() < 60


@in_virtual_time
async def test_a_connection_that_always_breaks_fails_the_request_and_does_not_pause_the_account() -> None:
    engine = parts(Scripted(lambda _: NoUpstreamAnswer("api_error", "it broke", status=0, retry_safe=True)))
    assert (await engine.run()).status == "errored"
    assert problems(engine) == ()


@in_virtual_time
async def test_an_unreachable_endpoint_is_probed_by_one_call_at_a_time_and_recovers_by_itself() -> None:
    down = UpstreamUnreachable("api_error", "cannot connect to up.example", status=0, retry_safe=True)
    transport = Scripted(lambda _: down if now() < 100 else 200, latency=0.01)
    engine = parts(transport, concurrency=64)
    work = asyncio.create_task(engine.run_all(500))
    await asyncio.sleep(5)
    assert problems(engine) == ("account 'a' is paused: cannot connect to up.example",)
    assert endings(await work) == {"succeeded": 500}
    assert problems(engine) == ()
    probes = [time for time, _ in transport.calls if 0 < time < 100]
    assert len(probes) < 25
    assert now() < 115


@in_virtual_time
async def test_a_rejected_key_pauses_its_account_and_a_new_one_resumes_it_without_a_failure() -> None:
    keys = ["revoked"]
    transport = Scripted(lambda request: 200 if request.headers["x-api-key"] == "good" else 401)
    engine = parts(transport, api_key="revoked", read_key=lambda: read(keys[-1]), concurrency=8)
    work = asyncio.create_task(engine.run_all(100))
    await asyncio.sleep(5)
    assert problems(engine) == ("account 'a' is paused: the provider rejects its key (401)",)
    await asyncio.sleep(300)
    assert len(transport.calls) < 25
    keys.append("good")
    assert endings(await work) == {"succeeded": 100}
    assert now() < 300 + 70


@in_virtual_time
async def test_a_key_that_was_replaced_before_the_old_one_was_revoked_pauses_nothing() -> None:
    transport = Scripted(lambda request: 200 if request.headers["x-api-key"] == "new" else 401)
    engine = parts(transport, api_key="old", read_key=lambda: read("new"))
    assert endings(await engine.run_all(20)) == {"succeeded": 20}
    assert now() < 2


@in_virtual_time
async def test_a_request_that_is_forbidden_while_others_are_served_is_errored_and_delays_no_other() -> None:
    transport = Scripted(lambda request: 403 if b'"7"' in request.body else 200)
    results = await parts(transport, concurrency=4).run_all(100)
    assert endings(results) == {"succeeded": 99, "errored": 1}
    assert [result.seq for result in results if result.status == "errored"] == [7]


@in_virtual_time
async def test_a_forbidden_model_is_paused_and_the_other_models_of_the_account_continue() -> None:
    transport = Scripted(lambda request: 403 if b'"closed"' in request.body else 200)
    engine = parts(transport)
    waiting = asyncio.create_task(engine.run_all(20, model="closed", key=2))
    await asyncio.sleep(5)
    assert endings(await engine.run_all(20, model="open")) == {"succeeded": 20}
    assert problems(engine) == ("model 'closed' of account 'a' is paused: the provider denies permission (403)",)
    assert not waiting.done()
    waiting.cancel()


@in_virtual_time
async def test_requests_that_wait_for_a_paused_account_can_be_cancelled() -> None:
    engine = parts(Scripted(lambda _: 401))
    waiting = [asyncio.create_task(engine.run(number)) for number in range(200)]
    await asyncio.sleep(5)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert engine.router.in_flight == 0
    assert problems(engine) == ()  # no request waits for the account, so its pause is not reported


@in_virtual_time
async def test_limiters_of_unused_models_are_dropped() -> None:
    engine = parts(Scripted(lambda _: 200))
    await asyncio.gather(*(engine.run(model=f"m{number}") for number in range(1_500)))
    await asyncio.sleep(3600)
    for number in range(750):
        await engine.run(model=f"new{number}")
    assert len(engine.router.limiters) == 750
    for number in range(750):
        await engine.run(model=f"newer{number}")
    assert 1_000 <= len(engine.router.limiters) <= 1_002
