"""The official SDKs of Anthropic and OpenAI on one gateway, each reading what the other has made."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

WITHIN = 30.0  # seconds


@pytest.fixture
def theirs(gateway: GatewayProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"{gateway.url}/anthropic", api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def ours(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


def until(condition: Any) -> Any:
    """Ask again until there is an answer."""
    deadline = time.monotonic() + WITHIN
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def by_openai(client: OpenAI, **contents: Any) -> str:
    """Make a batch of files; content that is no text is refused by the model."""
    lines = [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "simulated", "messages": [{"role": "user", "content": content}]},
        }
        for custom_id, content in contents.items()
    ]
    file = client.files.create(file=("a.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "openai"}
    ).id


def by_anthropic(client: Anthropic, **contents: Any) -> str:
    requests: Any = [
        {
            "custom_id": custom_id,
            "params": {"model": "simulated", "max_tokens": 64, "messages": [{"role": "user", "content": content}]},
        }
        for custom_id, content in contents.items()
    ]
    return client.messages.batches.create(requests=requests).id


def test_the_anthropic_sdk_reads_what_the_openai_sdk_has_made(ours: OpenAI, theirs: Anthropic) -> None:
    batch_id = by_openai(ours, a="Hello", b=5, c="Bye")
    batches = theirs.messages.batches
    ended = until(lambda: (b := batches.retrieve(batch_id)).processing_status == "ended" and b)
    assert (ended.request_counts.succeeded, ended.request_counts.errored) == (2, 1)
    assert batch_id in [batch.id for batch in batches.list(limit=5)]
    results = {line.custom_id: line.result for line in batches.results(batch_id)}
    assert list(results) == ["a", "b", "c"]
    assert results["a"].type == "succeeded"
    assert results["a"].message.content[0].type == "text"
    assert results["a"].message.content[0].text == "You said: Hello"
    assert results["a"].message.stop_reason == "end_turn"
    assert results["b"].type == "errored"
    assert results["b"].error.error.type == "invalid_request_error"
    assert batches.cancel(batch_id).processing_status == "ended"


def test_the_openai_sdk_reads_what_the_anthropic_sdk_has_made(ours: OpenAI, theirs: Anthropic) -> None:
    batch_id = by_anthropic(theirs, a="Hello", b=5, c="Bye")
    completed: Any = until(lambda: (b := ours.batches.retrieve(batch_id)).status == "completed" and b)
    assert (completed.request_counts.total, completed.request_counts.completed) == (3, 2)
    assert batch_id in [batch.id for batch in ours.batches.list(limit=5)]
    output = [json.loads(line) for line in ours.files.content(completed.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in output] == ["a", "c"]
    answer = output[0]["response"]["body"]
    assert (answer["object"], answer["choices"][0]["message"]["content"]) == ("chat.completion", "You said: Hello")
    (error,) = [json.loads(line) for line in ours.files.content(completed.error_file_id).text.splitlines()]
    assert (error["custom_id"], error["response"]["status_code"]) == ("b", 400)
    (first, *_) = [json.loads(line) for line in ours.files.content(completed.input_file_id).text.splitlines()]
    assert (first["url"], first["body"]["messages"][0]["content"]) == ("/v1/chat/completions", "Hello")


def test_each_sdk_cancels_what_the_other_has_made(ours: OpenAI, theirs: Anthropic) -> None:
    first = by_anthropic(theirs, a="Hello")
    until(lambda: theirs.messages.batches.retrieve(first).processing_status == "ended")
    assert ours.batches.cancel(first).status == "completed"
    second = by_openai(ours, a="Hello")
    assert theirs.messages.batches.cancel(second).processing_status in {"canceling", "ended"}
    until(lambda: ours.batches.retrieve(second).status in {"cancelled", "completed"})
