"""The exam of the simulated models: the providers' official SDKs call each simulated API, unchanged.

Servers without an SDK for their OpenAI-compatible API are called with that of OpenAI, as their documentation does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import boto3
import pytest
from anthropic import AsyncAnthropic
from cerebras.cloud.sdk import AsyncCerebras
from fireworks import AsyncFireworks
from groq import AsyncGroq
from mistralai.client import Mistral
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openrouter import OpenRouter
from perplexity import AsyncPerplexity

from tests.support.simulated_batches import SimulatedProviders, simulated_providers

MODEL: Final = "sim-1"
TURNS: Final[list[Any]] = [{"role": "user", "content": "Hello"}]
ANSWER: Final = "You said: Hello"
STRICT: Final[Any] = {"api_key": "k", "max_retries": 0, "_strict_response_validation": True}


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


@pytest.mark.sdk_exam("anthropic", lane="direct", sdk="anthropic")
async def test_anthropic_answers_messages(providers: SimulatedProviders) -> None:
    async with AsyncAnthropic(base_url=f"{providers.url}/anthropic", **STRICT) as client:
        message = await client.messages.create(model=MODEL, max_tokens=16, messages=TURNS)
    assert [block.text for block in message.content if block.type == "text"] == [ANSWER]
    assert message.usage.output_tokens > 0


@pytest.mark.sdk_exam("openai", lane="direct", sdk="openai")
async def test_openai_answers_requests_of_every_kind(providers: SimulatedProviders) -> None:
    async with AsyncOpenAI(base_url=f"{providers.url}/openai/v1", **STRICT) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=TURNS)
        response = await client.responses.create(model=MODEL, input="Hello")
        embedded = await client.embeddings.create(model=MODEL, input=["a", "b"], encoding_format="float")
        completed = await client.completions.create(model=MODEL, prompt="Hello")
    assert (chat.choices[0].message.content, response.output_text, completed.choices[0].text) == (ANSWER,) * 3
    assert [item.index for item in embedded.data] == [0, 1]


@pytest.mark.sdk_exam("azure", lane="direct", sdk="openai")
async def test_azure_answers_chat_completions(providers: SimulatedProviders) -> None:
    async with AsyncAzureOpenAI(azure_endpoint=f"{providers.url}/azure", api_version="2025-04-01", **STRICT) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("groq", lane="direct", sdk="groq")
async def test_groq_answers_chat_completions(providers: SimulatedProviders) -> None:
    async with AsyncGroq(base_url=f"{providers.url}/groq", **STRICT) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("cerebras", lane="direct", sdk="cerebras-cloud-sdk")
async def test_cerebras_answers_chat_completions(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/cerebras"
    async with AsyncCerebras(base_url=url, warm_tcp_connection=False, **STRICT) as client:
        chat: Any = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("perplexity", lane="direct", sdk="perplexityai")
async def test_perplexity_answers_chat_completions(providers: SimulatedProviders) -> None:
    async with AsyncPerplexity(base_url=f"{providers.url}/perplexity", api_key="k", max_retries=0) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("mistral", lane="direct", sdk="mistralai")
async def test_mistral_answers_chat_completions_and_embeddings(providers: SimulatedProviders) -> None:
    async with Mistral(api_key="k", server_url=f"{providers.url}/mistral") as client:
        chat = await client.chat.complete_async(model=MODEL, messages=TURNS)
        embedded = await client.embeddings.create_async(model=MODEL, inputs=["a", "b"])
    assert [choice.message.content for choice in chat.choices if choice.message] == [ANSWER]
    assert [item.index for item in embedded.data] == [0, 1]


@pytest.mark.sdk_exam("openrouter", lane="direct", sdk="openrouter")
async def test_openrouter_answers_chat_completions(providers: SimulatedProviders) -> None:
    async with OpenRouter(api_key="k", server_url=f"{providers.url}/openrouter/api/v1") as client:
        chat: Any = await client.chat.send_async(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("fireworks", lane="direct", sdk="fireworks-ai")
async def test_fireworks_answers_chat_completions(providers: SimulatedProviders) -> None:
    async with AsyncFireworks(
        api_key="k", base_url=f"{providers.url}/fireworks", account_id="simulated", max_retries=0
    ) as client:
        chat: Any = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER


@pytest.mark.sdk_exam("bedrock", lane="direct", sdk="boto3")
async def test_bedrock_answers_converse_and_invoke_model(providers: SimulatedProviders) -> None:
    client = boto3.Session().client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"{providers.url}/bedrock",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="a secret key",
    )
    turns = [{"role": "user", "content": [{"text": "Hello"}]}]
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": TURNS})
    conversed = await asyncio.to_thread(lambda: client.converse(modelId="amazon.nova-lite-v1:0", messages=turns))
    invoked = await asyncio.to_thread(lambda: client.invoke_model(modelId="anthropic.claude", body=body))
    message = json.loads(await asyncio.to_thread(invoked["body"].read))
    assert conversed["output"]["message"]["content"] == [{"text": ANSWER}]
    assert [block["text"] for block in message["content"]] == [ANSWER]


@pytest.mark.sdk_exam("huggingface", "nebius", "ollama", "parasail", "sgl", "vllm", "xai", lane="direct", sdk="openai")
@pytest.mark.parametrize("provider", ["huggingface", "nebius", "ollama", "parasail", "sgl", "vllm", "xai"])
async def test_the_sdk_of_openai_calls_the_other_providers(providers: SimulatedProviders, provider: str) -> None:
    async with AsyncOpenAI(base_url=f"{providers.url}/{provider}/v1", **STRICT) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=TURNS)
    assert chat.choices[0].message.content == ANSWER
