"""The official SDKs of Anthropic and OpenAI on one gateway; each reads and cancels batches that the other created."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import ConflictError, OpenAI

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

SECONDS_TO_WAIT = 120.0  # seconds; only a batch that never ends should exceed it


@pytest.fixture
def anthropic(gateway: GatewayProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"{gateway.url}/anthropic", api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def openai(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


def wait_for(condition: Any) -> Any:
    """Poll a condition until it is true and return its value."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def create_with_openai(client: OpenAI, **contents: Any) -> str:
    """Create a batch from a file; the simulated model refuses content that is not text."""
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


def create_with_anthropic(client: Anthropic, **contents: Any) -> str:
    requests: Any = [
        {
            "custom_id": custom_id,
            "params": {"model": "simulated", "max_tokens": 64, "messages": [{"role": "user", "content": content}]},
        }
        for custom_id, content in contents.items()
    ]
    return client.messages.batches.create(requests=requests).id


def test_the_anthropic_sdk_reads_a_batch_that_the_openai_sdk_created(openai: OpenAI, anthropic: Anthropic) -> None:
    batch_id = create_with_openai(openai, a="Hello", b=5, c="Bye")
    batches = anthropic.messages.batches
    ended = wait_for(lambda: (b := batches.retrieve(batch_id)).processing_status == "ended" and b)
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


def test_the_openai_sdk_reads_a_batch_that_the_anthropic_sdk_created(openai: OpenAI, anthropic: Anthropic) -> None:
    batch_id = create_with_anthropic(anthropic, a="Hello", b=5, c="Bye")
    completed: Any = wait_for(lambda: (b := openai.batches.retrieve(batch_id)).status == "completed" and b)
    assert (completed.request_counts.total, completed.request_counts.completed) == (3, 2)
    assert batch_id in [batch.id for batch in openai.batches.list(limit=5)]
    output = [json.loads(line) for line in openai.files.content(completed.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in output] == ["a", "c"]
    answer = output[0]["response"]["body"]
    assert (answer["object"], answer["choices"][0]["message"]["content"]) == ("chat.completion", "You said: Hello")
    (error,) = [json.loads(line) for line in openai.files.content(completed.error_file_id).text.splitlines()]
    assert (error["custom_id"], error["response"]["status_code"]) == ("b", 400)
    (first, *_) = [json.loads(line) for line in openai.files.content(completed.input_file_id).text.splitlines()]
    assert (first["url"], first["body"]["messages"][0]["content"]) == ("/v1/chat/completions", "Hello")


def test_each_sdk_cancels_a_batch_that_the_other_created(openai: OpenAI, anthropic: Anthropic) -> None:
    first = create_with_anthropic(anthropic, a="Hello")
    wait_for(lambda: anthropic.messages.batches.retrieve(first).processing_status == "ended")
    with pytest.raises(ConflictError, match="Cannot cancel a batch with status 'completed'"):
        openai.batches.cancel(first)
    second = create_with_openai(openai, a="Hello")
    assert anthropic.messages.batches.cancel(second).processing_status in {"canceling", "ended"}
    wait_for(lambda: openai.batches.retrieve(second).status in {"cancelled", "completed"})
