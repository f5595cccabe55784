"""Models with a prefix before a slash: it names an account or provider, is part of the model's name, or is an error."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.accounts import endpoints
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.errors import RequestError
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret
from tests.support.openai_batches import chat_line, create, download_lines, wait_for_final_status
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.unified_batches import BATCHES as UNIFIED_BATCHES
from tests.support.unified_batches import chat_rows

ACCOUNTS = {"claude": "anthropic", "oa": "openai", "eu": "openai", "gpu": "vllm", "router": "openrouter"}


def router(accounts: Mapping[str, str]) -> Router:
    """Make a router of accounts, whose providers are given."""
    found = {
        name: AccountSettings(provider=provider, base_url="http://127.0.0.1:1") for name, provider in accounts.items()
    }
    return Router(endpoints(Settings(accounts=found), SimulatorTransport(), {}, no_secret))


@pytest.mark.parametrize(
    ("default", "model", "account", "upstream"),
    [
        pytest.param("claude", "claude-opus-5", "claude", "claude-opus-5", id="no prefix"),
        pytest.param("claude", "oa/gpt-5", "oa", "gpt-5", id="account"),
        pytest.param("claude", "gpu/Qwen/Qwen3-8B", "gpu", "Qwen/Qwen3-8B", id="account and organisation"),
        pytest.param("claude", "openai/gpt-5", "oa", "gpt-5", id="provider: its first account"),
        pytest.param("eu", "openai/gpt-5", "eu", "gpt-5", id="provider of the default account"),
        pytest.param("claude", "anthropic/claude-opus-5", "claude", "claude-opus-5", id="own provider"),
        pytest.param("gpu", "anthropic/claude-opus-5", "gpu", "anthropic/claude-opus-5", id="organisation on a host"),
        pytest.param("gpu", "openai/gpt-oss-20b", "gpu", "openai/gpt-oss-20b", id="provider that is an organisation"),
        pytest.param("router", "openrouter/auto", "router", "openrouter/auto", id="model of a host itself"),
        pytest.param("gpu", "my-company/tuned", "gpu", "my-company/tuned", id="any organisation on a host"),
        pytest.param("oa", "meta-llama/Llama-3", "oa", "meta-llama/Llama-3", id="known organisation"),
        pytest.param("oa", "Qwen/Qwen3-8B", "oa", "Qwen/Qwen3-8B", id="known organisation in capitals"),
        pytest.param("oa", "models/gemini-2.5-pro", "oa", "models/gemini-2.5-pro", id="path"),
        pytest.param("oa", "/models/llama", "oa", "/models/llama", id="path of a file"),
        pytest.param("oa", "oa/nobody/tuned", "oa", "nobody/tuned", id="account before any organisation"),
    ],
)
async def test_a_model_goes_to_the_account_of_its_prefix(default: str, model: str, account: str, upstream: str) -> None:
    route = router(ACCOUNTS).route(default, model)
    assert (route.endpoint.account.name, route.model) == (account, upstream)


@pytest.mark.parametrize(
    ("default", "model"),
    [
        pytest.param("claude", "nobody/claude-opus-5", id="nobody"),
        pytest.param("claude", "claud/claude-opus-5", id="misspelt account"),
        pytest.param("oa", "opnai/gpt-5", id="misspelt provider"),
        pytest.param("oa", "groq/llama-3", id="provider without an account"),
        pytest.param("gpu", "bedrock/claude", id="provider without an account, on a host"),
        pytest.param("gpu", "rooter/Qwen/Qwen3-8B", id="misspelt account, on a host"),
        pytest.param("oa", "nobody/", id="nothing behind the slash"),
    ],
)
async def test_a_prefix_that_is_nothing_is_an_error_that_names_the_accounts(default: str, model: str) -> None:
    with pytest.raises(RequestError) as refused:
        router(ACCOUNTS).route(default, model)
    prefix = model.partition("/")[0]
    assert refused.value.kind == "not_found_error"
    assert refused.value.message == (
        f"no account is called {prefix!r}; configured: claude, oa, eu, gpu, router. "
        f"If it is part of the name of a model, write {default}/{prefix}/..."
    )


async def test_a_batch_is_found_by_the_account_that_the_prefix_of_a_provider_means() -> None:
    names = router(ACCOUNTS).searchable_names
    assert names(("claude", "openai")) == ("claude", "oa", "anthropic", "openai")
    assert names(("gpu", "openai")) == ("gpu", "vllm")
    assert names(("claude", "nobody", "eu")) == ("claude", "eu", "anthropic", "openai")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two simulated accounts, of which one is the default account."""
    accounts = {"anthropic": simulator(), "gpu": simulator()}
    async with running_app(tmp_path, accounts=accounts, default_provider="anthropic") as running:
        yield running


ERROR = "no account is called 'nobody'; configured: anthropic, gpu. "


async def test_a_message_with_a_wrong_prefix_is_an_error_and_the_others_run(app: RunningApp) -> None:
    models = {"good": "simulated", "wrong": "nobody/simulated", "named": "gpu/simulated", "own": "meta-llama/Llama-3"}
    requests = [row for name, model in models.items() for row in create_body(name, model=model)["requests"]]
    _, batch = await app.call("POST", BATCHES, json={"requests": requests})
    await app.ended(batch["id"])
    results = {line["custom_id"]: line["result"] for line in await app.results(batch["id"])}
    assert {name: result["type"] for name, result in results.items()} == dict.fromkeys(models, "succeeded") | {
        "wrong": "errored"
    }
    error = results["wrong"]["error"]["error"]
    assert error["type"] == "not_found_error"
    assert error["message"].startswith(ERROR)


async def test_a_body_of_the_unified_surface_with_a_wrong_prefix_is_an_error(app: RunningApp) -> None:
    rows: list[dict[str, Any]] = chat_rows("a")
    rows[0]["body"]["model"] = "nobody/simulated"
    _, batch = await app.call("POST", UNIFIED_BATCHES, json={"requests": rows})
    ended = await wait_for_final_status(app, batch["id"])
    (line,) = await download_lines(app, ended["error_file_id"])
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["message"][: len(ERROR)]) == (404, ERROR)


async def test_a_file_with_wrong_prefixes_is_invalid_at_the_first_line_of_each(app: RunningApp) -> None:
    models = ["simulated", "nobody/m", "gpu/simulated", "meta/m", "nobody/n", "who/m"]
    created = await create(app, *(chat_line(f"{n}", model=model) for n, model in enumerate(models)))
    batch = await wait_for_final_status(app, created["id"])
    faults = [(fault["line"], fault["code"], fault["param"]) for fault in batch["errors"]["data"]]
    assert faults == [(2, "model_not_found", "body.model"), (6, "model_not_found", "body.model")]
    assert batch["errors"]["data"][0]["message"].startswith(ERROR)
