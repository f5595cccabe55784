"""Requests of every kind on an account of Bedrock, and requests of Bedrock on other accounts, over HTTP."""

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

CONVERSE: Final = "/model/{model}/converse"
INVOKE: Final = "/model/{model}/invoke"
NOVA: Final = "amazon.nova-lite-v1:0"
CLAUDE: Final = "eu.anthropic.claude-sonnet-9-v1:0"
ARN: Final = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
CREDENTIALS: Final = '{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"the secret key","SessionToken":"the token"}'
MESSAGES: Final = [{"role": "user", "content": [{"text": "Hello"}]}]
ECHO: Final = "You said: Hello"


@asynccontextmanager
async def gateway(data_dir: Path, key: str = CREDENTIALS, required: str = CREDENTIALS) -> AsyncIterator[RunningApp]:
    """Run a gateway with an account of the simulated Bedrock, which verifies signatures, and one of OpenAI."""
    secured, open_to_all = (SimulatorSettings(latency=0, require_key=only) for only in (required, None))
    async with serving(build_simulator_app(secured)) as url, serving(build_simulator_app(open_to_all)) as other:
        accounts = {
            "bedrock": AccountSettings(provider="bedrock", base_url=url, region="eu-west-1", api_key=key),
            "other": AccountSettings(provider="openai", base_url=f"{other}/v1", api_key="key"),
        }
        async with running_app(data_dir, accounts=accounts, default_provider="bedrock") as app:
            yield app


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


@pytest.mark.parametrize("model", [NOVA, CLAUDE, f"bedrock/{ARN}", ARN])
async def test_chat_requests_run_by_converse_with_signed_calls(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path) as app:
        found = await results(app, chat_line("a", "Hello", model=model), endpoint="/v1/chat/completions")
    assert found["a"]["choices"][0]["message"]["content"] == ECHO
    assert found["a"]["model"] == model.removeprefix("bedrock/")


async def test_a_bearer_key_needs_no_signature(tmp_path: Path) -> None:
    async with gateway(tmp_path, key="bedrock-key", required="bedrock-key") as app:
        found = await results(app, chat_line("a", "Hello", model=NOVA), endpoint="/v1/chat/completions")
    assert found["a"]["choices"][0]["message"]["content"] == ECHO


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
async def test_messages_run_by_converse_or_in_the_body_of_claude(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path) as app:
        _, batch = await app.call("POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(model)}]})
        assert isinstance(batch, dict)
        await app.ended(batch["id"])
        (found,) = await app.results(batch["id"])
    assert found["result"]["message"]["content"][0]["text"].startswith("You said: ")


async def test_rows_with_bedrocks_own_urls_pass_as_they_are(tmp_path: Path) -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    async with gateway(tmp_path) as app:
        found = await results(app, line("a", f"/model/{NOVA}/converse", messages=MESSAGES), endpoint=CONVERSE)
        found |= await results(app, line("b", CONVERSE, model=NOVA, messages=MESSAGES), endpoint=CONVERSE)
        invoked = await results(app, line("c", f"/model/{CLAUDE}/invoke", **body), endpoint=INVOKE)
    for custom_id in ("a", "b"):
        assert found[custom_id]["output"]["message"]["content"] == [{"text": ECHO}]
        assert found[custom_id]["usage"]["totalTokens"] > 0
    assert invoked["c"]["content"] == [{"type": "text", "text": ECHO}]


async def test_an_arn_in_a_url_may_be_percent_encoded(tmp_path: Path) -> None:
    url = f"/model/{ARN.replace(':', '%3A').replace('/', '%2F')}/converse"
    async with gateway(tmp_path) as app:
        found = await results(app, line("a", url, messages=MESSAGES), endpoint=CONVERSE)
    assert found["a"]["output"]["message"]["content"] == [{"text": ECHO}]


async def test_rows_of_converse_are_translated_for_other_accounts(tmp_path: Path) -> None:
    rows = (
        line("a", CONVERSE, model="other/gpt-5", messages=MESSAGES, system=[{"text": "Be brief."}]),
        line("b", CONVERSE, model="other/gpt-5", messages=MESSAGES, guardrailConfig={"trace": "enabled"}),
    )
    async with gateway(tmp_path) as app:
        found = await results(app, *rows, endpoint=CONVERSE)
    assert found["a"]["output"]["message"] == {"role": "assistant", "content": [{"text": ECHO}]}
    assert found["a"]["stopReason"] == "end_turn"
    assert found["b"]["error"]["message"] == "guardrailConfig: only Bedrock supports it; leave it out"


async def test_rows_of_invoke_model_run_on_bedrock_only(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        found = await results(app, line("a", INVOKE, model="other/gpt-5", inputText="Hello"), endpoint=INVOKE)
    assert "InvokeModel" in found["a"]["error"]["message"]


async def test_a_line_without_messages_is_a_fault_of_the_file(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        batch = await create(app, line("a", CONVERSE, model=NOVA), endpoint=CONVERSE)
        ended = await wait_for_final_status(app, batch["id"])
    assert ended["errors"]["data"][0]["param"] == "body.messages"


async def test_credentials_that_expire_are_read_again_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(CREDENTIALS.replace("the secret key", "an old secret key"))
    settings = SimulatorSettings(latency=0, require_key=CREDENTIALS)
    async with serving(build_simulator_app(settings)) as url:
        account = AccountSettings(provider="bedrock", base_url=url, region="eu-west-1", api_key_file=str(file))
        async with running_app(tmp_path / "data", accounts={"bedrock": account}) as app:
            _, batch = await app.call("POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(NOVA)}]})
            assert isinstance(batch, dict)
            file.write_text(CREDENTIALS)
            await app.ended(batch["id"])
            (found,) = await app.results(batch["id"])
    assert found["result"]["type"] == "succeeded"
