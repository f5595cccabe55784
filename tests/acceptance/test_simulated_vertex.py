"""The SDKs of Google and Anthropic call the simulated Vertex AI unchanged, with tokens that google-auth asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import google.auth.exceptions
import msgspec
import pytest
from google import genai
from google.auth.transport.requests import Request
from google.genai.errors import ClientError
from google.oauth2.service_account import Credentials

from batchgate.providers.google.service_accounts import SCOPE
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.http_server import serving
from tests.support.service_accounts import service_account

PLACE: dict[str, Any] = {"project": "my-project", "location": "europe-west4"}
CLAUDE = "claude-opus-9@20261101"
REQUIRED = service_account("https://oauth2.googleapis.com/token")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Start a simulator that accepts only tokens that it gave to the service account."""
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=REQUIRED))) as url:
        yield url


def credentials(url: str, name: str = "one") -> Credentials:
    fields = msgspec.json.decode(service_account(f"{url}/token", name))
    found: Credentials = Credentials.from_service_account_info(fields, scopes=[SCOPE])
    return found


async def fetched(given: Credentials) -> str:
    """Let google-auth get a token, and return it."""
    await asyncio.to_thread(given.refresh, Request())
    return str(given.token)


async def run(call: Callable[[genai.Client], Any], url: str, given: Credentials) -> Any:
    def called() -> Any:
        with genai.Client(vertexai=True, credentials=given, http_options={"base_url": url}, **PLACE) as client:
            return call(client)

    return await asyncio.to_thread(called)


async def test_google_auth_gets_a_token_for_its_own_assertion(url: str) -> None:
    assert (await fetched(credentials(url))).startswith("ya29.")
    with pytest.raises(google.auth.exceptions.RefreshError, match=r"Invalid JWT Signature\."):
        await fetched(credentials(url, "two"))


@pytest.mark.sdk_exam("vertex", lane="direct", sdk="google-genai")
async def test_google_genai_reads_answers_of_gemini(url: str) -> None:
    answer = await run(
        lambda client: client.models.generate_content(model="gemini-3-pro", contents="Hello"), url, credentials(url)
    )
    assert answer.text == "You said: Hello"


@pytest.mark.parametrize("model", ["text-embedding-005", "gemini-embedding-001"])
@pytest.mark.parametrize("texts", [["Hello"], ["Hello", "Bye"]])
async def test_google_genai_reads_embeddings(url: str, model: str, texts: list[str]) -> None:
    answer = await run(
        lambda client: client.models.embed_content(
            model=model, contents=texts, config={"output_dimensionality": 4, "auto_truncate": False}
        ),
        url,
        credentials(url),
    )
    assert [len(vector.values) for vector in answer.embeddings] == [4] * len(texts)


async def test_google_genai_reads_the_refusal_of_a_token(url: str) -> None:
    given = credentials(url)
    given.token = f"{await fetched(given)}x"
    with pytest.raises(ClientError) as refused:
        await run(lambda client: client.models.generate_content(model="gemini-3-pro", contents="Hello"), url, given)
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")


@pytest.mark.sdk_exam("vertex", lane="direct", sdk="anthropic")
async def test_the_sdk_of_anthropic_reads_messages_of_claude(url: str) -> None:
    token = await fetched(credentials(url))
    async with anthropic.AsyncAnthropicVertex(
        project_id="my-project", region="europe-west4", access_token=token, base_url=f"{url}/v1", max_retries=0
    ) as vertex:
        message = await vertex.messages.create(
            model=CLAUDE, max_tokens=64, messages=[{"role": "user", "content": "Hello"}]
        )
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: Hello"
    assert message.model == CLAUDE
