"""The two hosts of the simulated model: in the process, and over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.providers.simulator.server import SimulatorStats, build_simulator_app
from batchgate.providers.simulator.simulator import (
    SimulatorSettings,
    SimulatorTransport,
    body_key,
)
from batchgate.providers.transport.proxy_transport import AiohttpTransport
from tests.unit.providers.simulator_calls import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    INSTANT,
    MESSAGES,
    RESPONSES,
    ask,
    call,
    question,
)


async def test_asking_again_until_it_succeeds_ends_and_starts_over() -> None:
    transport = SimulatorTransport(SimulatorSettings(latency=0, error_rate=0.5, rate_limit_rate=0.3))

    async def ask_until_answered() -> list[int]:
        seen: list[int] = []
        while 200 not in seen:
            seen.append((await transport.send(call(question("patience")))).status)
        return seen

    assert await ask_until_answered() == await ask_until_answered()


async def test_calls_over_the_admitted_number_are_refused() -> None:
    transport = SimulatorTransport(SimulatorSettings(max_concurrency=4))

    answers = await asyncio.gather(*(transport.send(call(question(f"{n}"))) for n in range(10)))

    assert Counter(answer.status for answer in answers) == {200: 4, 429: 6}
    assert (await transport.send(call(question()))).status == 200


async def test_an_answer_after_the_timeout_does_not_come() -> None:
    transport = SimulatorTransport(SimulatorSettings(latency=60))

    with pytest.raises(NoUpstreamAnswer, match=r"within 0\.01 s") as caught:
        await transport.send(call(question(), timeout=0.01))

    assert (caught.value.kind, caught.value.retry_safe) == ("timeout_error", True)


@pytest.fixture
async def server() -> AsyncIterator[TestClient[Any, Any]]:
    """Serve a simulated model without latency on loopback."""
    async with TestClient(TestServer(build_simulator_app(INSTANT))) as client:
        yield client


async def stats(server: TestClient[Any, Any]) -> SimulatorStats:
    """Fetch what the server was asked."""
    async with server.get("/stats") as response:
        return msgspec.json.decode(await response.read(), type=SimulatorStats)


@pytest.mark.parametrize(
    "path", [MESSAGES, CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, "/any/prefix/v1/messages", "/v1/unknown"]
)
async def test_the_answers_over_http_are_those_of_the_model(server: TestClient[Any, Any], path: str) -> None:
    async with AiohttpTransport() as transport:
        answer = await transport.send(call(question(), url=str(server.make_url(path))))
    expected = ask(INSTANT, path, question()).response

    assert (answer.status, answer.body) == (expected.status, expected.body)
    assert expected.headers.items() <= answer.headers.items()


async def test_stats_count_calls_by_status_and_by_body_until_they_are_reset(server: TestClient[Any, Any]) -> None:
    for body in (question("once"), question("twice"), question("twice"), b"{"):
        await server.post(MESSAGES, data=body)

    counted = await stats(server)
    await server.post("/stats/reset")
    emptied = await stats(server)

    assert (counted.calls, counted.distinct_bodies, counted.in_flight) == (4, 3, 0)
    assert counted.answered == {"200": 3, "400": 1}
    assert counted.calls_by_body[body_key(question("twice")).hex()] == 2
    assert counted.calls_by_body[body_key(question("once")).hex()] == 1
    assert (emptied.calls, emptied.answered, emptied.max_in_flight) == (0, {}, 0)


async def test_settings_change_the_behavior_from_the_next_call_on(server: TestClient[Any, Any]) -> None:
    async with server.put("/settings", json={"rate_limit_rate": 1, "retry_after": 7}) as changed:
        assert changed.status == 204
    async with server.post(MESSAGES, data=question()) as refused:
        assert (refused.status, refused.headers["retry-after"]) == (429, "7")
    async with server.put("/settings", json={"latency": 0}) as changed:
        assert changed.status == 204
    async with server.post(MESSAGES, data=question()) as answered:
        assert answered.status == 200


@pytest.mark.parametrize("wrong", [{"latency": -1}, {"error_rate": 2}, {"speed": 1}])
async def test_wrong_settings_are_refused_by_name(server: TestClient[Any, Any], wrong: dict[str, float]) -> None:
    async with server.put("/settings", json=wrong) as response:
        assert response.status == 400
        assert next(iter(wrong)) in await response.text()


async def test_the_most_calls_in_flight_at_once_are_known(server: TestClient[Any, Any]) -> None:
    await server.put("/settings", json={"latency": 0.5})

    await asyncio.gather(*(server.post(MESSAGES, data=question(f"{n}")) for n in range(5)))

    assert (await stats(server)).max_in_flight == 5


async def test_a_large_body_is_taken(server: TestClient[Any, Any]) -> None:
    async with server.post(MESSAGES, data=BytesIO(question("x" * 5_000_000))) as response:
        assert response.status == 200
