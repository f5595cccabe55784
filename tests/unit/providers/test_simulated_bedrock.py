"""botocore calls the simulated Bedrock unchanged: its signatures are verified, and it reads answers and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import botocore.session
import msgspec
import pytest
from aiohttp.test_utils import TestServer
from botocore.config import Config
from botocore.exceptions import ClientError

from batchgate.providers.handlers.bedrock import BedrockHandler
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.providers.transport.http_client import HttpTransport
from tests.unit.providers.test_bedrock import CLAUDE, CREDENTIALS, NOVA, account, row

MESSAGES = [{"role": "user", "content": [{"text": "Hello"}]}]
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello"}],
}

Call = Callable[..., Awaitable[Any]]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Start a simulator that accepts only calls that are signed with `CREDENTIALS`."""
    settings = SimulatorSettings(latency=0, require_key=CREDENTIALS)
    async with TestServer(build_simulator_app(settings)) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def call(url: str) -> Call:
    """Call an operation with botocore; other credentials may be given."""

    async def run(operation: str, *, secret: str = "the secret", **parameters: Any) -> Any:
        client = botocore.session.Session().create_client(
            "bedrock-runtime",
            region_name="eu-west-1",
            endpoint_url=url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=secret,
            aws_session_token="the token",
            config=Config(retries={"max_attempts": 1}),
        )
        return await asyncio.to_thread(lambda: getattr(client, operation)(**parameters))

    return run


@pytest.mark.parametrize("model", [NOVA, "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x"])
async def test_converse_answers_in_the_format_that_botocore_reads(call: Call, model: str) -> None:
    answer = await call("converse", modelId=model, messages=MESSAGES, inferenceConfig={"maxTokens": 3})
    assert answer["output"]["message"]["content"] == [{"text": "You said: He"}]
    assert answer["stopReason"] == "max_tokens"
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + 3


async def test_invoke_model_answers_with_a_message(call: Call) -> None:
    answer = await call("invoke_model", modelId=CLAUDE, body=msgspec.json.encode(CLAUDE_BODY))
    message = msgspec.json.decode(await asyncio.to_thread(answer["body"].read))
    assert (message["type"], message["model"]) == ("message", CLAUDE)


@pytest.mark.parametrize("change", [{"anthropic_version": "2023-06-01"}, {"model": CLAUDE}, {"stream": False}])
async def test_a_body_for_anthropic_itself_is_no_body_for_bedrock(call: Call, change: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        await call("invoke_model", modelId=CLAUDE, body=msgspec.json.encode(CLAUDE_BODY | change))


async def test_another_secret_is_refused(call: Call) -> None:
    with pytest.raises(ClientError) as caught:
        await call("converse", secret="another secret", modelId=NOVA, messages=MESSAGES)
    error: Any = caught.value.response
    assert error["Error"]["Code"] == "UnrecognizedClientException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_roles_that_do_not_alternate_are_refused(call: Call) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        await call("converse", modelId=NOVA, messages=MESSAGES * 2)


@pytest.mark.parametrize("model", [NOVA, CLAUDE, "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x"])
async def test_the_handler_and_the_transport_are_accepted_as_well(url: str, model: str) -> None:
    handler, asked = BedrockHandler(), row("messages", model)
    request = handler.encode(account(base_url=url, api_key=CREDENTIALS), asked)
    async with HttpTransport() as transport:
        answer = msgspec.json.decode(handler.decode(asked, await transport.send(request.signed())))
    assert answer["content"][0]["text"] == "You said: Hello"
