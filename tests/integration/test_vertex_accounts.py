"""Requests of every kind on accounts of Vertex AI, with access tokens for a service account, over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.app import ENGINE
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.integration.test_gemini_accounts import CONTENTS, EMBED, GENERATE, results
from tests.support.http_server import serving
from tests.support.openai_batches import chat_line
from tests.support.running_app import BATCHES, RunningApp, params, running_app
from tests.support.service_accounts import private_key, service_account

GEMINI: Final = "gemini-2.5-pro"
CLAUDE: Final = "claude-opus-9@20261101"
LLAMA: Final = "meta/llama-9"
ECHO: Final = "You said: Hello"
PLACE: Final[dict[str, Any]] = {"region": "europe-west4", "project": "my-project"}


@asynccontextmanager
async def gateway(data_dir: Path, *, required: str | None = None, **account: Any) -> AsyncIterator[RunningApp]:
    """Run a gateway with an account of the simulated Vertex, which gives tokens and accepts no others."""
    settings = SimulatorSettings(latency=0)
    async with serving(build_simulator_app(settings)) as url:
        key = service_account(f"{url}/token")
        await require(url, key if required is None else required)
        given = {"provider": "vertex", "base_url": url} | PLACE | ({"api_key": key} | account)
        async with running_app(data_dir, accounts={"vertex": AccountSettings(**given)}) as app:
            yield app


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def require(url: str, key: str) -> None:
    """Make a simulator accept no other key from now on."""
    async with (
        aiohttp.ClientSession() as http,
        http.put(f"{url}/settings", json={"latency": 0, "require_key": key}) as answer,
    ):
        assert answer.status == 204


@pytest.mark.parametrize("model", [GEMINI, f"vertex/{CLAUDE}", LLAMA, f"publishers/google/models/{GEMINI}"])
async def test_chat_requests_run_on_the_models_of_each_publisher(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path) as app:
        line = chat_line("a", "Hello", model=model)
        line["body"]["max_tokens"] = 16
        found = await results(app, line, endpoint="/v1/chat/completions")
    assert found["a"]["choices"][0]["message"]["content"] == ECHO


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, LLAMA])
async def test_messages_run_on_the_models_of_each_publisher(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path) as app:
        (found,) = await messages(app, model)
    assert found["result"]["message"]["content"][-1]["text"] == ECHO


async def messages(app: RunningApp, model: str) -> list[dict[str, Any]]:
    """Run a batch with one request and return its results."""
    status, batch = await app.call("POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(model)}]})
    assert status == 200, batch
    await app.ended(batch["id"])
    return await app.results(batch["id"])


async def test_rows_with_geminis_own_urls_pass_as_they_are(tmp_path: Path) -> None:
    line = {"custom_id": "a", "method": "POST", "url": GENERATE, "body": {"model": GEMINI, "contents": CONTENTS}}
    async with gateway(tmp_path) as app:
        found = await results(app, line, endpoint=GENERATE)
    assert found["a"]["candidates"][0]["content"]["parts"][-1]["text"] == ECHO


@pytest.mark.parametrize("model", ["text-embedding-005", "gemini-embedding-001"])
async def test_embeddings_of_both_kinds(tmp_path: Path, model: str) -> None:
    several = {"model": model, "input": ["Hello", "Bye"], "dimensions": 4}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": several}
    own = {"model": model, "content": {"parts": [{"text": "Hello"}]}, "outputDimensionality": 4}
    async with gateway(tmp_path) as app:
        found = await results(app, line, endpoint="/v1/embeddings")
        found |= await results(app, {"custom_id": "b", "method": "POST", "url": EMBED, "body": own}, endpoint=EMBED)
    assert [len(item["embedding"]) for item in found["a"]["data"]] == [4, 4]
    assert found["b"]["embedding"]["values"] == found["a"]["data"][0]["embedding"]


async def test_the_express_mode_takes_an_api_key(tmp_path: Path) -> None:
    async with gateway(tmp_path, required="AQ.express-key", api_key="AQ.express-key", project=None) as app:
        (found,) = await messages(app, GEMINI)
        (other,) = await messages(app, CLAUDE)
    assert found["result"]["type"] == "succeeded"
    assert "has Google's models alone" in other["result"]["error"]["error"]["message"]


async def test_a_revoked_token_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    async with serving(build_simulator_app(SimulatorSettings(latency=0))) as url:
        key = service_account(f"{url}/token")
        await require(url, key)
        account = AccountSettings(provider="vertex", base_url=url, api_key=key, **PLACE)
        async with running_app(tmp_path, accounts={"vertex": account}) as app:
            (before,) = await messages(app, CLAUDE)
            await require(url, f"{key} ")  # the same key, but all of its tokens are revoked
            app.clock.move(120)
            (after,) = await messages(app, CLAUDE)
    assert (before["result"]["type"], after["result"]["type"]) == ("succeeded", "succeeded")


async def test_a_key_file_that_is_replaced_gets_tokens_of_the_new_key(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    async with serving(build_simulator_app(SimulatorSettings(latency=0))) as url:
        right = service_account(f"{url}/token")
        await require(url, right)
        file.write_text(service_account(f"{url}/token", "two"))
        account = AccountSettings(provider="vertex", base_url=url, api_key_file=str(file), **PLACE)
        async with running_app(tmp_path / "data", accounts={"vertex": account}) as app:
            requests = [{"custom_id": "a", "params": params(CLAUDE)}]
            _, batch = await app.call("POST", BATCHES, json={"requests": requests})
            file.write_text(right)
            await app.ended(batch["id"])
            (found,) = await app.results(batch["id"])
    assert found["result"]["type"] == "succeeded"


async def test_no_file_log_or_answer_has_the_private_key_or_a_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with gateway(tmp_path, required=service_account("http://127.0.0.1:9/token", "two")) as app:
            _, batch = await app.call(
                "POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(CLAUDE)}]}
            )
            _, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress")
            _, health = await app.call("GET", "/health")
    stored = await asyncio.to_thread(content_of, tmp_path)
    shown = f"{caplog.text}{progress}{health}{stored!r}"
    assert "gives no access token to the service account: invalid_grant: Invalid issuer or audience." in shown
    for secret in ("ya29.", "id-of-one", *private_key().splitlines()[1:-1]):
        assert secret not in shown


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        ({"region": None}, "accounts.vertex.region: the region of the models"),
        ({"project": None}, "accounts.vertex.project: the project that the service account calls models for"),
        ({"provider": "gemini", "region": None}, "accounts.vertex.project: left out: gemini has no projects"),
        ({"lane": "native"}, "accounts.vertex.batch_url: gs://BUCKET/PREFIX"),
        ({"lane": "native", "batch_url": "s3://b/p"}, "accounts.vertex.batch_url: gs://BUCKET/PREFIX"),
        ({"api_key": "{}"}, "accounts.vertex.api_key: the JSON of a service account's key"),
    ],
)
async def test_settings_that_do_not_fit_are_refused(tmp_path: Path, account: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with gateway(tmp_path, **account):
            pass
    assert problem in str(refused.value)
    assert "PRIVATE KEY" not in str(refused.value)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
async def test_each_region_has_its_own_host(tmp_path: Path, region: str, host: str) -> None:
    async with gateway(tmp_path, required="unused", base_url=None, region=region, api_key="ya29.own") as app:
        endpoint = app.app[ENGINE].router.endpoint("vertex")
    assert endpoint is not None
    assert (endpoint.account.base_url, endpoint.account.api_key) == (host, "ya29.own")
