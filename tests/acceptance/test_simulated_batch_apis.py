"""The exam of the simulated batch APIs: the official SDKs of the providers drive them, from the upload to the results.

The SDKs are unchanged, and validate responses strictly where they can. The SDK of Cerebras has no
batches, so OpenAI's SDK is the client there, as for all other providers with OpenAI's API.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from anthropic import AsyncAnthropic
from groq import AsyncGroq
from openai import AsyncAzureOpenAI, AsyncOpenAI

from tests.support.simulated_batches import SimulatedProviders, simulated_providers

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
VALIDATED, HALFWAY, DONE = 5.0, 15.0, 25.0
"""Seconds to the end of the validation, from there to the half of the rows, and from there to after the end."""


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


def body(endpoint: str, content: Any) -> dict[str, Any]:
    """Return a request to a model; the simulated model refuses content that is a number."""
    messages = [{"role": "user", "content": content}]
    return {"model": "sim-1", ("input" if endpoint == RESPONSES else "messages"): messages}


def jsonl(*ids: str, endpoint: str = CHAT, bad: str = "") -> tuple[str, bytes]:
    """Return the name and the content of an input file, with one row that will be refused."""
    lines = [
        {
            "custom_id": id_,
            "method": "POST",
            "url": endpoint,
            "body": body(endpoint, 1 if id_ == bad else f"I am {id_}"),
        }
        for id_ in ids
    ]
    return "rows.jsonl", "\n".join(json.dumps(line) for line in lines).encode()


def rows(content: str) -> dict[str, Any]:
    """Read a result file by custom_id."""
    return {row["custom_id"]: row for row in map(json.loads, content.splitlines())}


@pytest.mark.sdk_exam("openai", lane="native", sdk="openai")
async def test_openai_from_upload_to_results(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/openai/v1"
    async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as client:
        file = await client.files.create(file=jsonl("a", "b", "c", bad="b"), purpose="batch")
        assert (file.status, file.filename) == ("processed", "rows.jsonl")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"job": "7"}
        )
        assert (batch.status, batch.model, batch.metadata) == ("validating", None, {"job": "7"})
        assert batch.expires_at == batch.created_at + 86_400
        await providers.advance(VALIDATED + HALFWAY)
        batch = await client.batches.retrieve(batch.id)
        assert batch.request_counts is not None
        assert (batch.status, batch.model, batch.request_counts.completed) == ("in_progress", "sim-1", 1)
        await providers.advance(DONE)
        batch = await client.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert batch.usage is not None
        assert batch.usage.total_tokens > 0
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        good = rows((await client.files.content(batch.output_file_id)).text)
        bad = rows((await client.files.content(batch.error_file_id)).text)
        assert {id_: row["response"]["body"]["choices"][0]["message"]["content"] for id_, row in good.items()} == {
            "a": "You said: I am a",
            "c": "You said: I am c",
        }
        assert [row["response"]["status_code"] for row in bad.values()] == [400]
        assert [listed.id async for listed in client.batches.list(limit=1)] == [batch.id]
        assert (await client.files.delete(file.id)).deleted


async def test_pages_of_openai_are_walked_by_the_sdk(providers: SimulatedProviders) -> None:
    async with AsyncOpenAI(base_url=f"{providers.url}/openai/v1", api_key="k", max_retries=0) as client:
        file = await client.files.create(file=jsonl("a"), purpose="batch")
        made = [
            (await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")).id
            for _ in range(5)
        ]
        assert [batch.id async for batch in client.batches.list(limit=2)] == made[::-1]
        assert [listed.id async for listed in client.files.list(limit=1)] == [file.id]


@pytest.mark.sdk_exam("azure", lane="native", sdk="openai")
async def test_azure_openai_from_a_pending_upload_to_results(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/azure"
    async with AsyncAzureOpenAI(azure_endpoint=url, api_key="k", api_version="2025-04-01", max_retries=0) as client:
        file = await client.files.create(file=jsonl("a", "b"), purpose="batch")
        assert str(file.status) == "pending"
        await providers.advance(2)
        assert (await client.files.wait_for_processing(file.id, poll_interval=0)).status == "processed"
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        assert batch.endpoint == "/chat/completions"
        await providers.advance(VALIDATED + HALFWAY + DONE)
        batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        assert rows((await client.files.content(batch.output_file_id)).text).keys() == {"a", "b"}
        assert (await client.files.content(batch.error_file_id)).text == ""


@pytest.mark.sdk_exam("groq", lane="native", sdk="groq")
async def test_groq_from_upload_to_results(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/groq"
    async with AsyncGroq(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as client:
        file = await client.files.create(file=jsonl("a", "b", bad="b"), purpose="batch")
        assert file.id is not None
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="3d")
        assert batch.expires_at == batch.created_at + timedelta(days=3).total_seconds()
        await providers.advance(VALIDATED + HALFWAY + DONE)
        ended = await client.batches.retrieve(batch.id)
        assert ended.status == "completed"
        assert ended.output_file_id is not None
        assert ended.error_file_id is not None
        assert rows(await (await client.files.content(ended.output_file_id)).text()).keys() == {"a"}
        assert rows(await (await client.files.content(ended.error_file_id)).text()).keys() == {"b"}
        assert [listed.id for listed in (await client.batches.list()).data] == [batch.id]
        assert [listed.id for listed in (await client.batches.list(extra_query={"id": "batch_01other"})).data] == []


@pytest.mark.sdk_exam("azure", "cerebras", "nebius", "parasail", "perplexity", lane="native", sdk="openai")
@pytest.mark.parametrize(
    ("base", "endpoint"),
    [
        ("cerebras/v1", CHAT),
        ("nebius/v1", CHAT),
        ("parasail/v1", CHAT),
        ("perplexity/v1", RESPONSES),
        ("deepinfra/v1", CHAT),
        ("deepinfra/v1/openai", CHAT),
        ("azure/openai/v1", RESPONSES),
    ],
)
async def test_the_sdk_of_openai_drives_the_other_providers(
    providers: SimulatedProviders, base: str, endpoint: Any
) -> None:
    async with AsyncOpenAI(base_url=f"{providers.url}/{base}", api_key="k", max_retries=0) as client:
        file = await client.files.create(file=jsonl("a", "b", endpoint=endpoint), purpose="batch")
        await providers.advance(2)
        batch = await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
        await providers.advance(VALIDATED + HALFWAY + DONE)
        batch = await client.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert batch.output_file_id is not None
        assert rows((await client.files.content(batch.output_file_id)).text).keys() == {"a", "b"}


async def test_the_retries_of_the_sdk_make_two_jobs_when_the_answer_to_a_create_is_lost(
    providers: SimulatedProviders,
) -> None:
    async with AsyncOpenAI(base_url=f"{providers.url}/openai/v1", api_key="k") as client:
        file = await client.files.create(file=jsonl("a"), purpose="batch")
        await providers.play(lose_create_answer="close", jobs=1)
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    first, second = await providers.jobs()
    assert first.input_file_id == second.input_file_id == file.id
    assert second.id == batch.id


async def test_a_cancelled_batch_of_openai_has_the_rows_that_ran(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/openai/v1"
    async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as client:
        file = await client.files.create(file=jsonl("a", "b"), purpose="batch")
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        await providers.advance(VALIDATED + HALFWAY)
        assert (await client.batches.cancel(batch.id)).status == "cancelling"
        await providers.advance(DONE)
        batch = await client.batches.cancel(batch.id)
        assert batch.status == "cancelled"
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        assert rows((await client.files.content(batch.output_file_id)).text).keys() == {"a"}
        stopped = rows((await client.files.content(batch.error_file_id)).text)
        assert stopped["b"]["error"]["code"] == "batch_cancelled"


@pytest.mark.sdk_exam("anthropic", lane="native", sdk="anthropic")
async def test_anthropic_from_create_to_results(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/anthropic"
    requests: list[Any] = [
        {"custom_id": id_, "params": {**body(CHAT, f"I am {id_}"), "max_tokens": 64, "stream": id_ == "c"}}
        for id_ in ("a", "b", "c")
    ]
    async with AsyncAnthropic(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as client:
        batch = await client.messages.batches.create(requests=requests)
        assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 3)
        assert batch.expires_at == batch.created_at + timedelta(hours=24)
        running = await client.messages.batches.with_raw_response.retrieve(batch.id)
        assert running.headers["retry-after"] == "10"
        await providers.advance(HALFWAY + HALFWAY)
        batch = await client.messages.batches.retrieve(batch.id)
        assert (batch.processing_status, batch.request_counts.succeeded, batch.request_counts.errored) == (
            "ended",
            2,
            1,
        )
        results = [line async for line in await client.messages.batches.results(batch.id)]
        assert [line.custom_id for line in results] == ["b", "a", "c"]
        assert [line.result.type for line in results] == ["succeeded", "succeeded", "errored"]
        first = results[0].result
        assert first.type == "succeeded"
        assert first.message.usage.service_tier == "batch"
        assert (await client.messages.batches.delete(batch.id)).type == "message_batch_deleted"
        assert [listed async for listed in client.messages.batches.list()] == []


async def test_pages_of_anthropic_are_walked_in_both_directions(providers: SimulatedProviders) -> None:
    request: Any = {"custom_id": "a", "params": {**body(CHAT, "Hello"), "max_tokens": 8}}
    async with AsyncAnthropic(base_url=f"{providers.url}/anthropic", api_key="k", max_retries=0) as client:
        made = [(await client.messages.batches.create(requests=[request])).id for _ in range(5)]
        forward = [batch.id async for batch in client.messages.batches.list(limit=2)]
        backward = [batch.id async for batch in client.messages.batches.list(limit=2, before_id=made[0])]
        assert forward == made[::-1]
        assert backward == [made[2], made[1], made[4], made[3]]


async def test_a_cancelled_batch_of_anthropic_has_results(providers: SimulatedProviders) -> None:
    requests: list[Any] = [{"custom_id": id_, "params": {**body(CHAT, "Hi"), "max_tokens": 8}} for id_ in ("a", "b")]
    url = f"{providers.url}/anthropic"
    async with AsyncAnthropic(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as client:
        batch = await client.messages.batches.create(requests=requests)
        await providers.advance(HALFWAY)
        assert (await client.messages.batches.cancel(batch.id)).processing_status == "canceling"
        await providers.advance(DONE)
        results = [line async for line in await client.messages.batches.results(batch.id)]
        assert {line.custom_id: line.result.type for line in results} == {"a": "succeeded", "b": "canceled"}
