"""The exam of the simulated Cohere: the official SDK, unchanged, drives its live API, its datasets and its batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from cohere import (
    AsyncClientV2,
    BadRequestError,
    Batch,
    Dataset,
    NotFoundError,
    TextAssistantMessageResponseContentItem,
    UnauthorizedError,
    UserChatMessageV2,
)
from cohere.utils import dataset_generator
from openai import AsyncOpenAI

from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

KEY: Final = "the-key"
CHAT: Final = "batch-chat-v2-input"
EMBED: Final = "batch-embed-v2-input"
VALIDATED: Final = 5.0
RUNNING: Final = 20.0
DONE: Final = 60.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers(SimulatorSettings(latency=0, require_key=KEY)) as providers:
        yield providers


@pytest.fixture
async def client(providers: SimulatedProviders) -> AsyncIterator[AsyncClientV2]:
    async with AsyncClientV2(api_key=KEY, base_url=f"{providers.url}/cohere") as client:
        yield client


def row(custom_id: str, content: object) -> dict[str, Any]:
    """Return a row of a dataset for chat."""
    return {"custom_id": custom_id, "body": {"messages": [{"role": "user", "content": content}], "max_tokens": 50}}


def texts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


async def uploaded(client: AsyncClientV2, kind: str, *rows: dict[str, Any], **options: Any) -> str:
    """Upload rows as a dataset, and return its id."""
    data = "\n".join(json.dumps(row) for row in rows).encode()
    created = await client.datasets.create(name="in", type=kind, data=("rows.jsonl", data), **options)
    return str(created.id)


async def records(dataset: Dataset) -> dict[str, Any]:
    """Read a dataset as the SDK does: it downloads the parts and reads their Avro."""
    found = await asyncio.to_thread(lambda: [*dataset_generator(dataset)])
    return {record["custom_id"]: record for record in found}


async def started(client: AsyncClientV2, dataset: str) -> str:
    """Create a batch of a dataset, and return its id."""
    request = Batch(name="job", input_dataset_id=dataset, model="sim-1")
    batch = (await client.batches.create(request=request)).batch
    assert (batch.name, batch.status, batch.input_dataset_id) == ("job", "BATCH_STATUS_QUEUED", dataset)
    return str(batch.id)


@pytest.mark.sdk_exam("cohere", lane="direct", sdk="cohere")
async def test_chat_and_embed(client: AsyncClientV2) -> None:
    answer = await client.chat(model="sim-1", messages=[UserChatMessageV2(content="Hello")], max_tokens=2)
    assert answer.finish_reason == "MAX_TOKENS"
    assert answer.message.content is not None
    (said,) = answer.message.content
    assert isinstance(said, TextAssistantMessageResponseContentItem)
    assert said.text == "You said"
    assert answer.usage is not None
    assert answer.usage.tokens is not None
    assert answer.usage.tokens.output_tokens == 2
    embedded = await client.embed(model="sim-1", input_type="search_query", texts=["a", "b"], output_dimension=3)
    assert embedded.embeddings.float_ is not None
    assert [len(vector) for vector in embedded.embeddings.float_] == [3, 3]


@pytest.mark.sdk_exam("cohere", lane="direct", sdk="openai")
async def test_the_compatible_api_is_driven_by_the_sdk_of_openai(providers: SimulatedProviders) -> None:
    url = f"{providers.url}/cohere/compatibility/v1"
    async with AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
        answer = await client.chat.completions.create(model="sim-1", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content == "You said: Hello"


async def test_errors_have_coheres_form(providers: SimulatedProviders, client: AsyncClientV2) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.embed(model="sim-1", input_type="nothing", texts=["a"])
    assert refused.value.body["message"].startswith("invalid request: valid input_type must be provided")
    async with AsyncClientV2(api_key="wrong", base_url=f"{providers.url}/cohere") as stranger:
        with pytest.raises(UnauthorizedError):
            await stranger.chat(model="sim-1", messages=[UserChatMessageV2(content="Hello")])
        with pytest.raises(UnauthorizedError):
            await stranger.batches.list()


@pytest.mark.sdk_exam("cohere", lane="native", sdk="cohere")
async def test_a_batch_from_its_dataset_to_its_results(providers: SimulatedProviders, client: AsyncClientV2) -> None:
    rows = (row("a", texts("I am a")), row("b", texts("I am b")))
    dataset = await uploaded(client, CHAT, *rows, keep_fields=["custom_id"])
    assert (await client.datasets.get(dataset)).dataset.validation_status == "processing"
    await providers.advance(VALIDATED)
    assert (await client.datasets.get(dataset)).dataset.validation_status == "validated"
    batch_id = await started(client, dataset)
    await providers.advance(RUNNING)
    batch = (await client.batches.retrieve(batch_id)).batch
    assert (batch.status, batch.num_records, batch.num_successful_records) == ("BATCH_STATUS_IN_PROGRESS", 2, 1)
    assert not batch.output_dataset_id
    await providers.advance(DONE)
    batch = (await client.batches.retrieve(batch_id)).batch
    assert (batch.status, batch.num_successful_records, batch.num_failed_records) == ("BATCH_STATUS_COMPLETED", 2, 0)
    assert batch.output_dataset_id
    assert int(batch.output_tokens or 0) > 0
    output = (await client.datasets.get(batch.output_dataset_id)).dataset
    assert output.dataset_type == "batch-chat-v2-output"
    found = await records(output)
    assert found.keys() == {"a", "b"}
    assert found["a"]["error"] == ""
    said = found["a"]["body"]["message"]["content"]
    assert said == [{"type": "text", "text": "You said: I am a", "thinking": None}]
    listed = (await client.batches.list(page_size=1)).batches
    assert [one.id for one in listed or ()] == [batch_id]
    for one in (dataset, output.id):
        await client.datasets.delete(one)
    assert not (await client.datasets.list()).datasets


async def test_embeddings_in_a_batch(providers: SimulatedProviders, client: AsyncClientV2) -> None:
    body = {"input_type": "search_document", "embedding_types": ["float"]}
    content = [{"type": "text", "text": "Hello"}]
    dataset = await uploaded(
        client,
        EMBED,
        {"custom_id": "a", "body": body | {"inputs": [{"content": content}]}},
        {"custom_id": "b", "body": body | {"texts": ["Hello", "Bye"]}},
        {"custom_id": "c", "body": body | {"texts": ["Hello"], "input_type": "nothing"}},
        keep_fields=["custom_id"],
    )
    await providers.advance(VALIDATED)
    batch_id = await started(client, dataset)
    await providers.advance(DONE)
    batch = (await client.batches.retrieve(batch_id)).batch
    assert (batch.num_successful_records, batch.num_failed_records) == (2, 1)
    assert batch.output_dataset_id
    found = await records((await client.datasets.get(batch.output_dataset_id)).dataset)
    assert found["a"]["body"]["embeddings"]["float"] == found["b"]["body"]["embeddings"]["float"][:1]
    assert (found["c"]["body"], "input_type" in found["c"]["error"]) == (None, True)


async def test_malformed_rows_fail_a_dataset_unless_they_are_to_be_left_out(
    providers: SimulatedProviders, client: AsyncClientV2
) -> None:
    rows = (row("a", texts("I am a")), row("b", "a text alone"))
    strict = await uploaded(client, CHAT, *rows, keep_fields=["custom_id"])
    lenient = await uploaded(client, CHAT, *rows, keep_fields=["custom_id"], skip_malformed_input=True)
    await providers.advance(VALIDATED)
    failed = (await client.datasets.get(strict)).dataset
    assert failed.validation_status == "failed"
    assert failed.validation_error == "the dataset has malformed rows: 2"
    with pytest.raises(BadRequestError):
        await started(client, strict)
    passed = (await client.datasets.get(lenient)).dataset
    assert (passed.validation_status, passed.validation_warnings) == ("validated", ["row 2 was dropped"])


async def test_without_keep_fields_the_ids_are_lost(providers: SimulatedProviders, client: AsyncClientV2) -> None:
    dataset = await uploaded(client, CHAT, row("a", texts("I am a")))
    await providers.advance(VALIDATED)
    batch_id = await started(client, dataset)
    await providers.advance(DONE)
    output = (await client.batches.retrieve(batch_id)).batch.output_dataset_id
    assert output
    assert (await records((await client.datasets.get(output)).dataset)).keys() == {""}


async def test_a_batch_is_canceled_once(providers: SimulatedProviders, client: AsyncClientV2) -> None:
    dataset = await uploaded(client, CHAT, *(row(name, texts(name)) for name in "abcd"), keep_fields=["custom_id"])
    await providers.advance(VALIDATED)
    batch_id = await started(client, dataset)
    await providers.advance(RUNNING)
    await client.batches.cancel(batch_id)
    assert (await client.batches.retrieve(batch_id)).batch.status == "BATCH_STATUS_CANCELING"
    with pytest.raises(BadRequestError):
        await client.batches.cancel(batch_id)
    await providers.advance(DONE)
    batch = (await client.batches.retrieve(batch_id)).batch
    assert batch.status == "BATCH_STATUS_CANCELED"
    assert batch.output_dataset_id
    assert (await records((await client.datasets.get(batch.output_dataset_id)).dataset)).keys() == {"a", "b"}


async def test_what_is_not_there_is_not_found(client: AsyncClientV2) -> None:
    with pytest.raises(NotFoundError):
        await client.batches.retrieve("no-batch")
    with pytest.raises(NotFoundError):
        await client.datasets.get("no-dataset")
    with pytest.raises(NotFoundError):
        await client.batches.create(request=Batch(name="job", input_dataset_id="no-dataset", model="sim-1"))
