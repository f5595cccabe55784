"""The errors of the simulated model: invalid requests, rate limits and random failures."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from batchgate.providers.simulator.simulator import (
    SimulatorSettings,
)
from tests.unit.providers.simulator_calls import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    INSTANT,
    MESSAGES,
    RESPONSES,
    ask,
    content,
    question,
    written,
)


def statuses(settings: SimulatorSettings, path: str = MESSAGES, calls: int = 200) -> list[int]:
    """Ask many different questions once and list the statuses of the answers."""
    bodies = (question(f"Question {number}") for number in range(calls))
    return [ask(settings, path, body).response.status for body in bodies]


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
    assert reason.lower() in envelope["error"]["message"].lower()


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
