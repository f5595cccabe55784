"""The responses of the simulated model in each dialect."""

from __future__ import annotations

import base64
import struct

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
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
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

    assert one.keys() == {"id", "object", "data", "model", "usage"}
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
