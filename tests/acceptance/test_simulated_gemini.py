"""The exam of the simulated Gemini: Google's official SDK, unchanged, drives its batches, its files and its models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google import genai
from google.genai import errors, types

from batchgate.providers.simulator.batches.settings import BatchSettings
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

# The SDK makes a subclass of aiohttp's session, sends pieces of 8 MB as bytes, and calls embeddings experimental.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:batches.create_embeddings"),
]

MODEL: Final = "gemini-3-pro"
DONE: Final = 60.0
VERSIONS: Final = pytest.mark.parametrize("version", ["v1", "v1beta"])


@asynccontextmanager
async def sdk(providers: SimulatedProviders, version: str = "v1") -> AsyncIterator[Any]:
    """Open the asynchronous client of the SDK."""
    options = types.HttpOptions(base_url=f"{providers.url}/gemini", api_version=version)
    client = genai.Client(api_key="k", http_options=options).aio
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers(settings=BatchSettings(file_pending=0)) as providers:
        yield providers


def content(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": text}]}


def jsonl(folder: Path, **requests: Any) -> Path:
    """Write an input file with these requests by key."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"key": key, "request": found}) + "\n" for key, found in requests.items()))
    return path


def rows(downloaded: bytes) -> dict[str, Any]:
    """Read a result file by key."""
    return {row["key"]: row for row in map(json.loads, downloaded.splitlines())}


@pytest.mark.sdk_exam("gemini", lane="native", sdk="google-genai")
@VERSIONS
async def test_a_batch_from_upload_to_results(providers: SimulatedProviders, tmp_path: Path, version: str) -> None:
    path = jsonl(tmp_path, a={"contents": [content("I am a")]}, b={"contents": [content("I am b")]})
    async with sdk(providers, version) as client:
        file = await client.files.upload(file=path, config={"mime_type": "jsonl", "display_name": "rows"})
        assert (file.display_name, file.state, file.size_bytes) == ("rows", "ACTIVE", path.stat().st_size)
        job = await client.batches.create(model=MODEL, src=file.name, config={"display_name": "bg-1"})
        assert (job.state, job.display_name, job.model) == ("JOB_STATE_PENDING", "bg-1", None)
        await providers.advance(DONE)
        job = await client.batches.get(name=job.name)
        assert (job.state, job.model) == ("JOB_STATE_SUCCEEDED", f"models/{MODEL}")
        assert job.dest.file_name.startswith("files/batch-")
        found = rows(await client.files.download(file=job.dest.file_name))
        answer = types.GenerateContentResponse.model_validate(found["a"]["response"])
        assert answer.text == "You said: I am a"
        assert answer.usage_metadata is not None
        assert answer.usage_metadata.thoughts_token_count
        await client.batches.delete(name=job.name)
        with pytest.raises(errors.ClientError) as caught:
            await client.batches.delete(name=job.name)
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_embeddings_run_from_a_file(providers: SimulatedProviders, tmp_path: Path) -> None:
    path = jsonl(tmp_path, a={"content": content("a"), "outputDimensionality": 4})
    async with sdk(providers) as client:
        file = await client.files.upload(file=path, config={"mime_type": "jsonl"})
        job = await client.batches.create_embeddings(model="gemini-embedding-001", src={"file_name": file.name})
        await providers.advance(DONE)
        job = await client.batches.get(name=job.name)
        found = rows(await client.files.download(file=job.dest.file_name))
    assert len(found["a"]["response"]["embedding"]["values"]) == 4


async def test_a_large_file_is_uploaded_in_pieces_and_an_empty_one_in_one(
    providers: SimulatedProviders, tmp_path: Path
) -> None:
    async with sdk(providers) as client:
        for size in (10_000_000, 0):
            path = tmp_path / f"{size}.jsonl"
            path.write_bytes(b" " * size)
            file = await client.files.upload(file=path, config={"mime_type": "jsonl"})
            assert (await client.files.get(name=file.name)).size_bytes == size
        assert [found.size_bytes async for found in await client.files.list()] == [0, 10_000_000]
        await client.files.delete(name=file.name)
        with pytest.raises(errors.ClientError) as caught:
            await client.files.delete(name=file.name)
    assert caught.value.code == 403


async def test_pages_of_batches_are_walked_and_a_batch_is_cancelled(
    providers: SimulatedProviders, tmp_path: Path
) -> None:
    async with sdk(providers) as client:
        file = await client.files.upload(
            file=jsonl(tmp_path, a={"contents": [content("a")]}), config={"mime_type": "jsonl"}
        )
        jobs = [await client.batches.create(model=MODEL, src=file.name) for _ in range(3)]
        pager = await client.batches.list(config={"page_size": 2})
        assert [job.name async for job in pager] == [job.name for job in jobs]
        await client.batches.cancel(name=jobs[0].name)
        await providers.advance(DONE)
        assert (await client.batches.get(name=jobs[0].name)).state == "JOB_STATE_CANCELLED"


async def test_one_bad_row_and_a_wrong_model_are_refused_at_the_create(
    providers: SimulatedProviders, tmp_path: Path
) -> None:
    await providers.configure(models=[MODEL], file_pending=0)
    path = jsonl(tmp_path, a={"contents": [content("a")]}, b={"contents": [content("b")], "config": {}})
    async with sdk(providers) as client:
        file = await client.files.upload(file=path, config={"mime_type": "jsonl"})
        for model, code in ((MODEL, 400), ("gemini-0", 404)):
            with pytest.raises(errors.ClientError) as caught:
                await client.batches.create(model=model, src=file.name)
            assert caught.value.code == code
    assert await providers.jobs() == []


@pytest.mark.sdk_exam("gemini", lane="direct", sdk="google-genai")
@VERSIONS
async def test_models_are_called_directly(providers: SimulatedProviders, version: str) -> None:
    function = types.FunctionDeclaration(name="f", parameters_json_schema={"type": "object"})
    config = types.GenerateContentConfig(
        system_instruction="Echo",
        max_output_tokens=64,
        tools=[types.Tool(function_declarations=[function])],
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
    )
    async with sdk(providers, version) as client:
        answer = await client.models.generate_content(model=MODEL, contents="Hello", config=config)
        assert answer.text == "You said: Hello"
        assert (answer.candidates[0].finish_reason, answer.model_version) == ("STOP", MODEL)
        embedded = await client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
        assert len(embedded.embeddings) == 2
        as_json = config.model_copy(update={"response_mime_type": "application/json", "thinking_config": None})
        with pytest.raises(errors.ClientError) as caught:
            await client.models.generate_content(model="gemini-2.5-flash", contents="Hello", config=as_json)
    assert caught.value.status == "INVALID_ARGUMENT"
