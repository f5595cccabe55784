"""Requests of every kind on an account of Cohere, and requests of Cohere on other accounts, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.integration.test_gemini_accounts import results
from tests.support.http_server import serving
from tests.support.openai_batches import chat_line, create, wait_for_final_status
from tests.support.running_app import BATCHES, RunningApp, params, running_app

CHAT: Final = "/v2/chat"
EMBED: Final = "/v2/embed"
MODEL: Final = "cohere/command-a-03-2025"
EMBEDDER: Final = "cohere/embed-v4.0"
TURNS: Final = [{"role": "user", "content": "Hello"}]
ECHO: Final = "You said: Hello"


@asynccontextmanager
async def gateway(data_dir: Path, **account: Any) -> AsyncIterator[RunningApp]:
    """Run a gateway with an account of the simulated Cohere, which checks the key, and one of each other kind."""
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key="key"))) as url:
        accounts = {"cohere": AccountSettings(provider="cohere", base_url=url, api_key="key", **account)}
        for other in ("openai", "gemini", "anthropic"):
            base_url = f"{url}/v1" if other == "openai" else url
            accounts[other] = AccountSettings(provider=other, base_url=base_url, api_key="key")
        async with running_app(data_dir, accounts=accounts, default_provider="cohere") as app:
            yield app


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


async def test_conversations_run_by_the_compatible_api(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        found = await results(app, chat_line("a", "Hello", model=MODEL), endpoint="/v1/chat/completions")
        _, batch = await app.call("POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(MODEL)}]})
        assert isinstance(batch, dict)
        await app.ended(batch["id"])
        (message,) = await app.results(batch["id"])
    assert found["a"]["choices"][0]["message"]["content"] == ECHO
    assert message["result"]["message"]["content"][0]["text"].startswith("You said: ")


async def test_rows_with_coheres_own_urls_pass_as_they_are(tmp_path: Path) -> None:
    embed = {"model": EMBEDDER, "input_type": "clustering", "texts": ["a", "b"], "output_dimension": 3}
    async with gateway(tmp_path) as app:
        row = line("a", CHAT, model=MODEL, messages=TURNS, stream=False, safety_mode="OFF")
        chat = await results(app, row, endpoint=CHAT)
        embedded = await results(app, line("c", EMBED, **embed), endpoint=EMBED)
    assert chat["a"]["message"]["content"] == [{"type": "text", "text": ECHO}]
    assert chat["a"]["finish_reason"] == "COMPLETE"
    assert [len(vector) for vector in embedded["c"]["embeddings"]["float"]] == [3, 3]
    assert embedded["c"]["texts"] == ["a", "b"]


async def test_embeddings_differ_by_what_the_account_says_that_they_are_for(tmp_path: Path) -> None:
    request = line("a", "/v1/embeddings", model=EMBEDDER, input=["Hello"], dimensions=4)
    async with gateway(tmp_path / "documents") as app:
        documents = await results(app, request, endpoint="/v1/embeddings")
        native = await results(
            app,
            line("a", EMBED, model=EMBEDDER, input_type="search_document", texts=["Hello"], output_dimension=4),
            endpoint=EMBED,
        )
    async with gateway(tmp_path / "queries", embedding_input_type="search_query") as app:
        queries = await results(app, request, endpoint="/v1/embeddings")
    vector = documents["a"]["data"][0]["embedding"]
    assert vector == native["a"]["embeddings"]["float"][0]
    assert vector != queries["a"]["data"][0]["embedding"]
    assert documents["a"]["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("account", ["openai", "gemini", "anthropic"])
async def test_rows_of_coheres_own_run_at_cohere_only(tmp_path: Path, account: str) -> None:
    async with gateway(tmp_path) as app:
        chat = await results(app, line("a", CHAT, model=f"{account}/m", messages=TURNS), endpoint=CHAT)
        embed = await results(app, line("a", EMBED, model=f"{account}/m", texts=["a"]), endpoint=EMBED)
    assert "Cohere's chat" in chat["a"]["error"]["message"]
    assert "Cohere's embed" in embed["a"]["error"]["message"]


async def test_what_is_wrong_with_a_line_is_a_fault_of_the_file(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        lines = [
            (CHAT, line("a", CHAT, model=MODEL), "body.messages"),
            (EMBED, line("a", EMBED, model=EMBEDDER, input_type="clustering"), "body.texts"),
            (CHAT, line("a", CHAT, model=MODEL, messages=TURNS, stream=True), "body.stream"),
        ]
        for endpoint, wrong, param in lines:
            batch = await create(app, wrong, endpoint=endpoint)
            ended = await wait_for_final_status(app, batch["id"])
            assert ended["errors"]["data"][0]["param"] == param


async def test_a_refusal_of_cohere_is_the_error_of_its_row(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        found = await results(app, line("a", EMBED, model=EMBEDDER, texts=["a"]), endpoint=EMBED)
    message = "invalid request: valid input_type must be provided with the provided model"
    assert found["a"]["error"]["message"] == message
    assert found["a"]["error"]["type"] == "invalid_request_error"
