"""The exam of Vertex AI's simulated jobs: Google's official SDK drives them unchanged, with objects in a bucket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import obstore
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from obstore.store import GCSStore

from tests.support.simulated_batches import SimulatedProviders, simulated_providers

# The SDK makes a subclass of aiohttp's session.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

MODEL: Final = "gemini-3-pro"
CLAUDE: Final = "publishers/anthropic/models/claude-opus-9@20261101"
SOURCE: Final = "gs://bucket/in/rows.jsonl"
DONE: Final = 60.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


@asynccontextmanager
async def sdk(providers: SimulatedProviders, project: str = "my-project") -> AsyncIterator[Any]:
    """Open the asynchronous client of the SDK."""
    client = genai.Client(
        vertexai=True,
        project=project,
        location="europe-west4",
        credentials=Credentials(token="ya29.token"),
        http_options=types.HttpOptions(base_url=f"{providers.url}/vertex"),
    ).aio
    try:
        yield client
    finally:
        await client.aclose()


def bucket(providers: SimulatedProviders) -> GCSStore:
    return GCSStore(
        "bucket",
        config={"base_url": f"{providers.url}/vertex/gcs", "bearer_token": "ya29.token"},
        client_options={"allow_http": True},
    )


def request(text: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


async def put(providers: SimulatedProviders, **requests: dict[str, Any]) -> None:
    """Write the input with these requests by id."""
    lines = [json.dumps({"custom_id": name, "request": found}) for name, found in requests.items()]
    await obstore.put_async(bucket(providers), "in/rows.jsonl", "\n".join(lines).encode())


async def rows(providers: SimulatedProviders, folder: str) -> dict[str, Any]:
    """Read the results of a job by id."""
    store = bucket(providers)
    found: dict[str, Any] = {}
    async for page in obstore.list(store, prefix=folder.removeprefix("gs://bucket/")):
        for entry in page:
            content = await (await obstore.get_async(store, entry["path"])).bytes_async()
            found |= {row["custom_id"]: row for row in map(json.loads, bytes(content).splitlines())}
    return found


@pytest.mark.sdk_exam("vertex", lane="native", sdk="google-genai")
async def test_a_job_from_its_rows_to_their_results(providers: SimulatedProviders) -> None:
    await put(providers, a=request("Hello"), b={"contents": [{"role": "user", "parts": []}]}, c=request("Bye"))
    async with sdk(providers) as client:
        job = await client.batches.create(
            model=MODEL, src=SOURCE, config={"dest": "gs://bucket/out", "display_name": "d"}
        )
        assert (job.state, job.display_name) == ("JOB_STATE_PENDING", "d")
        assert job.model == f"publishers/google/models/{MODEL}"
        await providers.advance(DONE)
        job = await client.batches.get(name=job.name)
        assert job.state == "JOB_STATE_SUCCEEDED"
        assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (2, 1)
        found = await rows(providers, "out/")
        assert types.GenerateContentResponse.model_validate(found["a"]["response"]).text == "You said: Hello"
        assert found["b"]["status"].startswith('Bad Request: {"error":')
        await client.batches.delete(name=job.name)
        with pytest.raises(errors.ClientError) as gone:
            await client.batches.get(name=job.name)
        assert (gone.value.code, gone.value.status) == (404, "NOT_FOUND")


async def test_ids_that_look_like_numbers_are_retyped(providers: SimulatedProviders) -> None:
    await put(providers, **{"000007": request("Hello"), "r000007": request("Hello")})
    async with sdk(providers) as client:
        await client.batches.create(model=MODEL, src=SOURCE, config={"dest": "gs://bucket/out"})
        await providers.advance(DONE)
    assert sorted(await rows(providers, "out/")) == ["7", "r000007"]


async def test_jobs_are_listed_in_pages_and_by_their_name(providers: SimulatedProviders) -> None:
    await put(providers, a=request("Hello"))
    async with sdk(providers) as client:
        for number in range(3):
            config = {"dest": f"gs://bucket/out-{number}", "display_name": f"job-{number}"}
            await client.batches.create(model=MODEL, src=SOURCE, config=config)
        listed = [job.display_name async for job in await client.batches.list(config={"page_size": 2})]
        assert listed == ["job-2", "job-1", "job-0"]
        config = {"filter": 'displayName="job-1"'}
        assert [job.display_name async for job in await client.batches.list(config=config)] == ["job-1"]
    async with sdk(providers, "another-project") as other:
        assert [job async for job in await other.batches.list()] == []


async def test_a_job_is_canceled_once(providers: SimulatedProviders) -> None:
    await put(providers, a=request("Hello"))
    async with sdk(providers) as client:
        job = await client.batches.create(model=MODEL, src=SOURCE, config={"dest": "gs://bucket/out"})
        await client.batches.cancel(name=job.name)
        await providers.advance(DONE)
        job = await client.batches.get(name=job.name)
        assert (job.state, job.error.code, job.completion_stats) == ("JOB_STATE_CANCELLED", 1, None)
        with pytest.raises(errors.ClientError):
            await client.batches.cancel(name=job.name)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"contents": "text"}, "request.contents is list in one place and str in another"),
        (request("x") | {"tools": [{"googleSearch": {}}]}, "googleSearch is too deep or empty"),
        (request("x") | {"generationConfig": {"responseSchema": {"type": "STRING"}}}, "different response schemas"),
        (request("x") | {"labels": {"$a": "b"}}, "invalid name"),
    ],
)
async def test_one_row_that_is_no_row_of_a_table_fails_the_job(
    providers: SimulatedProviders, second: dict[str, Any], why: str
) -> None:
    await put(providers, a=request("Hello"), b=second)
    async with sdk(providers) as client:
        job = await client.batches.create(model=MODEL, src=SOURCE, config={"dest": "gs://bucket/out"})
        await providers.advance(DONE)
        job = await client.batches.get(name=job.name)
    assert (job.state, job.error.code) == ("JOB_STATE_FAILED", 3)
    assert why in job.error.message


async def test_a_missing_object_fails_the_job_and_an_unknown_model_its_creation(providers: SimulatedProviders) -> None:
    async with sdk(providers) as client:
        job = await client.batches.create(model=MODEL, src=SOURCE, config={"dest": "gs://bucket/out"})
        await providers.advance(DONE)
        assert (await client.batches.get(name=job.name)).error.code == 9
        with pytest.raises(errors.ClientError) as unknown:
            await client.batches.create(model="meta/llama-9", src=SOURCE, config={"dest": "gs://bucket/out"})
        assert unknown.value.code == 404


async def test_rows_of_claude_are_messages_with_a_version(providers: SimulatedProviders) -> None:
    message = {"max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    await put(providers, a=message | {"anthropic_version": "vertex-2023-10-16"}, b=message)
    async with sdk(providers) as client:
        await client.batches.create(model=CLAUDE, src=SOURCE, config={"dest": "gs://bucket/out"})
        await providers.advance(DONE)
    found = await rows(providers, "out/")
    assert found["a"]["response"]["content"] == [{"type": "text", "text": "You said: Hello"}]
    assert found["b"]["status"].startswith("Bad Request: ")
