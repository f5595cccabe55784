"""A real language model answers batches in both dialects; the SDK submits and reads them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch

from tests.support.gateway_process import GatewayProcess
from tests.support.model_server import ModelServer, model_server

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

ENDS_WITHIN = 240.0  # seconds; the machine may be slow
POLL = 0.2  # seconds


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def client(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anthropic]:
    settings = f"""
    [accounts.messages]
    provider = "anthropic"
    base_url = "{model.url}"
    concurrency = 4

    [accounts.chat]
    provider = "vllm"
    base_url = "{model.url}/v1"
    concurrency = 4
    """
    data_dir: Path = tmp_path_factory.mktemp("model")
    with (
        GatewayProcess(data_dir=data_dir, settings=settings) as gateway,
        Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any") as client,
    ):
        yield client


def wait_until_ended(client: Anthropic, batch: MessageBatch) -> MessageBatch:
    deadline = time.monotonic() + ENDS_WITHIN
    while (current := client.messages.batches.retrieve(batch.id)).processing_status != "ended":
        assert time.monotonic() < deadline, current
        time.sleep(POLL)
    return current


@pytest.mark.real_server("anthropic", "vllm", lane="direct", server="llama.cpp")
@pytest.mark.parametrize("account", ["messages", "chat"])
def test_the_model_answers_twenty_requests(client: Anthropic, account: str) -> None:
    batch = client.messages.batches.create(
        requests=[
            {
                "custom_id": f"question-{number}",
                "params": {
                    "model": f"{account}/gemma-3-270m",
                    "max_tokens": 16,
                    "system": "You answer in a few words.",
                    "messages": [{"role": "user", "content": f"What is {number} plus one?"}],
                },
            }
            for number in range(20)
        ]
    )
    ended = wait_until_ended(client, batch)
    results = list(client.messages.batches.results(batch.id))
    assert ended.request_counts.succeeded == 20, results
    assert [line.custom_id for line in results] == [f"question-{number}" for number in range(20)]
    for line in results:
        assert line.result.type == "succeeded"
        message = line.result.message
        assert (message.type, message.role) == ("message", "assistant")
        assert message.content[0].type == "text"
        assert message.content[0].text.strip()
        assert message.stop_reason in {"end_turn", "max_tokens", "stop_sequence"}
        assert 0 < message.usage.output_tokens <= 16
        assert message.usage.input_tokens > 0
