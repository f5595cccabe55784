"""The simulated model: its answers, refusals and faults, then its two hosts (in process, over HTTP)."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections import Counter
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.providers.simulator.server import SimulatorStats, build_simulator_app
from batchgate.providers.simulator.simulator import (
    SimulatedCall,
    SimulatedReply,
    Simulator,
    SimulatorSettings,
    SimulatorTransport,
    body_key,
)
from batchgate.providers.transport.proxy_transport import AiohttpTransport

MESSAGES = "/v1/messages"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
INSTANT = SimulatorSettings(latency=0)


def question(text: object = "Hello", **fields: object) -> bytes:
    """Write a request that is right in both dialects."""
    messages = [{"role": "user", "content": text}]
    return msgspec.json.encode({"model": "sim-1", "max_tokens": 100, "messages": messages, **fields})


def ask(
    settings: SimulatorSettings,
    path: str,
    body: bytes,
    *,
    headers: dict[str, str] | None = None,
    attempt: int = 0,
    in_flight: int = 1,
) -> SimulatedReply:
    """Ask a simulator once."""
    call = SimulatedCall(
        path=path,
        headers=headers or {},
        body=body,
        key=body_key(body),
        attempt=attempt,
        in_flight=in_flight,
    )
    return Simulator(settings).reply(call)


def content(response: UpstreamResponse) -> dict[str, Any]:
    """Read the JSON body of an answer."""
    return msgspec.json.decode(response.body, type=dict[str, Any])


def statuses(settings: SimulatorSettings, path: str = MESSAGES, calls: int = 200) -> list[int]:
    """Ask many different questions once and list the statuses of the answers."""
    bodies = (question(f"Question {number}") for number in range(calls))
    return [ask(settings, path, body).response.status for body in bodies]


def test_a_message_is_complete() -> None:
    response = ask(INSTANT, MESSAGES, question()).response
    message = content(response)

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["request-id"].startswith("req_01")
    assert len(message.pop("id").removeprefix("msg_01")) == 22
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "sim-1",
        "content": [{"type": "text", "text": "You said: Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 4,
            "service_tier": "standard",
        },
    }


def test_a_chat_completion_is_complete() -> None:
    response = ask(INSTANT, CHAT, question()).response
    completion = content(response)

    assert response.status == 200
    assert response.headers["x-request-id"].startswith("req_01")
    assert completion.pop("id").startswith("chatcmpl-")
    assert completion.pop("created") > 0
    assert completion == {
        "object": "chat.completion",
        "model": "sim-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "You said: Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6},
        "system_fingerprint": "fp_simulator",
    }


def written(**fields: object) -> bytes:
    """Write a request to a model."""
    return msgspec.json.encode({"model": "sim-1", **fields})


@pytest.mark.parametrize(
    "said", ["Hello", [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}, {"type": "reasoning"}]]
)
def test_a_response_is_complete(said: object) -> None:
    answer = content(ask(INSTANT, RESPONSES, written(input=said, instructions="Be brief")).response)

    assert answer["id"].startswith("resp_")
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "sim-1")
    assert answer["output"][0]["content"][0]["text"] == "You said: Hello"
    assert answer["usage"] == {
        "input_tokens": 4,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }
    cut = content(ask(INSTANT, RESPONSES, written(input=said, max_output_tokens=1)).response)
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


@pytest.mark.parametrize(("prompt", "text"), [("Hello", "Hello"), (["Hello"], "Hello"), ([1, 22], "1 22")])
def test_a_completion_is_complete(prompt: object, text: str) -> None:
    answer = content(ask(INSTANT, COMPLETIONS, written(prompt=prompt)).response)

    assert answer["id"].startswith("cmpl-")
    assert (answer["object"], answer["model"]) == ("text_completion", "sim-1")
    said = f"You said: {text}"
    assert answer["choices"] == [{"text": said, "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def test_the_same_text_has_the_same_embedding_in_whatever_call() -> None:
    one = content(ask(INSTANT, EMBEDDINGS, written(input="Hello")).response)
    several = content(ask(INSTANT, EMBEDDINGS, written(input=["Hi", "Hello", [1, 2]], user="u")).response)

    assert one.keys() == {"object", "data", "model", "usage"}
    assert one["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert [item["index"] for item in several["data"]] == [0, 1, 2]
    vectors = [item["embedding"] for item in several["data"]]
    assert vectors[1] == one["data"][0]["embedding"]
    assert len({tuple(vector) for vector in vectors}) == 3
    assert all(len(vector) == 8 and all(-1 <= number <= 1 for number in vector) for vector in vectors)


def test_embeddings_have_the_length_and_the_form_that_is_asked_for() -> None:
    asked = {"input": "Hello", "dimensions": 3}
    numbers = content(ask(INSTANT, EMBEDDINGS, written(**asked)).response)["data"][0]["embedding"]
    coded = content(ask(INSTANT, EMBEDDINGS, written(**asked, encoding_format="base64")).response)

    assert struct.unpack("<3f", base64.b64decode(coded["data"][0]["embedding"])) == pytest.approx(numbers)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (RESPONSES, written(), "input"),
        (RESPONSES, written(input="a", stream=True), "stream"),
        (RESPONSES, written(input="a", max_output_tokens=0), "max_tokens"),
        (COMPLETIONS, written(), "prompt"),
        (COMPLETIONS, written(prompt=["a", "b"]), "prompt: the simulator supports only one prompt"),
        (COMPLETIONS, written(prompt="a", stream=True), "stream"),
        (EMBEDDINGS, written(input=[]), "input: there must be at least one text"),
        (EMBEDDINGS, written(input=[{}]), "$.input[0]"),
        (EMBEDDINGS, written(input="a", dimensions=0), "dimensions: must be from 1"),
        (EMBEDDINGS, b"{", "truncated"),
    ],
)
def test_an_unsupported_openai_request_gets_an_openai_error(path: str, body: bytes, reason: str) -> None:
    response = ask(INSTANT, path, body).response
    error = content(response)["error"]

    assert response.status == 400
    assert error.keys() == {"message", "type", "param", "code"}
    assert reason in error["message"]


def test_the_last_user_turn_is_echoed_from_its_text_blocks() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    messages = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
        {"role": "user", "content": [image, {"type": "text", "text": "größer"}, {"type": "text", "text": "2"}]},
        {"role": "assistant", "content": "Well"},
    ]

    message = content(ask(INSTANT, MESSAGES, question(messages=messages)).response)

    assert message["content"][0]["text"] == "You said: größer\n2"


def test_an_answer_over_max_tokens_is_cut_and_marked_incomplete() -> None:
    body = question("a long question", max_tokens=3)

    message = content(ask(INSTANT, MESSAGES, body).response)
    completion = content(ask(INSTANT, CHAT, body).response)

    assert message["content"][0]["text"] == "You said: a "
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 3)
    assert completion["choices"][0]["finish_reason"] == "length"


def test_answers_are_filled_up_to_the_set_length() -> None:
    settings = SimulatorSettings(output_tokens=50)

    message = content(ask(settings, MESSAGES, question()).response)

    assert message["usage"]["output_tokens"] == 50
    assert message["content"][0]["text"].startswith("You said: Hello and so on")
    assert message["stop_reason"] == "end_turn"


def test_the_same_call_has_the_same_answer_and_a_repeated_one_a_new_id() -> None:
    first, again, repeated = (ask(INSTANT, MESSAGES, question(), attempt=n).response for n in (0, 0, 1))

    assert first == again
    assert content(first)["id"] != content(repeated)["id"]


def test_a_model_may_have_a_latency_of_its_own_and_jitter_stays_in_its_range() -> None:
    settings = SimulatorSettings(latency=2.0, latency_by_model={"slow": 5.0}, jitter=0.5)
    delays = [ask(settings, MESSAGES, question(f"{n}")).delay for n in range(50)]
    slow = ask(settings, MESSAGES, question(model="slow")).delay

    assert all(1.0 <= delay <= 3.0 for delay in delays)
    assert len(set(delays)) == 50
    assert 2.5 <= slow <= 7.5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b'{"model": "\xff"}', "utf-8"),
        (b"[]", "Expected `object`"),
        (b'{"model": "m", "max_tokens": 1}', "messages"),
        (question(max_tokens="many"), "$.max_tokens"),
        (question(max_tokens=0), "max_tokens"),
        (question(stream=True), "stream"),
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, CHAT])
def test_a_wrong_body_is_refused_with_its_place_in_the_dialect_of_the_path(path: str, body: bytes, reason: str) -> None:
    reply = ask(SimulatorSettings(), path, body)
    envelope = content(reply.response)

    assert (reply.response.status, reply.delay) == (400, 0.0)
    assert envelope["error"]["type"] == "invalid_request_error"
    assert ("request_id" in envelope) == (path == MESSAGES)
    assert reason in envelope["error"]["message"]


def test_max_tokens_is_required_in_messages_only() -> None:
    body = msgspec.json.encode({"model": "m", "messages": []})

    assert ask(INSTANT, MESSAGES, body).response.status == 400
    assert ask(INSTANT, CHAT, body).response.status == 200


def test_an_error_envelope_is_that_of_its_dialect() -> None:
    settings = SimulatorSettings(rate_limit_rate=1, retry_after=2.5)
    messages = ask(settings, MESSAGES, question()).response
    chat = ask(settings, CHAT, question()).response
    text = "This request would exceed the rate limit. Please try again later."

    assert messages.status == chat.status == 429
    assert messages.headers["retry-after"] == chat.headers["retry-after"] == "2.5"
    assert content(messages) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": text},
        "request_id": messages.headers["request-id"],
    }
    assert content(chat) == {
        "error": {"message": text, "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }


def test_an_unknown_path_is_not_found() -> None:
    response = ask(INSTANT, "/v1/messages/batches", question()).response

    assert response.status == 404
    assert content(response)["error"]["type"] == "not_found_error"


def test_more_in_flight_than_admitted_is_refused_at_once() -> None:
    settings = SimulatorSettings(max_concurrency=4)

    admitted = ask(settings, MESSAGES, question(), in_flight=4)
    refused = ask(settings, MESSAGES, question(), in_flight=5)

    assert (admitted.response.status, admitted.delay) == (200, 0.05)
    assert (refused.response.status, refused.delay) == (429, 0.0)
    assert refused.response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "right"}, 200),
        ({"authorization": "Bearer right"}, 200),
        ({"x-api-key": "wrong"}, 401),
        ({}, 401),
    ],
)
def test_only_the_required_key_is_accepted(headers: dict[str, str], status: int) -> None:
    settings = SimulatorSettings(require_key="right")

    assert ask(settings, MESSAGES, question(), headers=headers).response.status == status
    assert "right" not in repr(settings)


def test_faults_come_at_the_set_rate_and_repeat_with_the_seed() -> None:
    settings = SimulatorSettings(latency=0, error_rate=0.25, rate_limit_rate=0.25, seed=7)
    seen = Counter(statuses(settings, calls=2000))

    assert statuses(settings) == statuses(settings)
    assert statuses(settings) != statuses(msgspec.structs.replace(settings, seed=8))
    assert seen[429] == pytest.approx(500, rel=0.15)
    assert seen[500] + seen[529] == pytest.approx(375, rel=0.2)


def test_failures_are_server_errors_and_overloads_in_each_dialect() -> None:
    settings = SimulatorSettings(error_rate=1)

    assert set(statuses(settings)) == {500, 529}
    assert set(statuses(settings, CHAT)) == {500, 503}
    assert ask(settings, MESSAGES, question()).delay == 0.05


def test_a_failed_call_may_succeed_when_it_is_asked_again() -> None:
    settings = SimulatorSettings(error_rate=0.5)
    luck = {ask(settings, MESSAGES, question(), attempt=n).response.status == 200 for n in range(30)}

    assert luck == {True, False}


def call(body: bytes, url: str = f"http://simulator{MESSAGES}", timeout: float = 10.0) -> UpstreamRequest:
    """Make a call as a provider handler would."""
    return UpstreamRequest(url=url, headers={"content-type": "application/json"}, body=body, timeout=timeout)


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
