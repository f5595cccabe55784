"""Requests of every kind on an account of Gemini, and requests of Gemini on other accounts, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.http_server import serving
from tests.support.openai_batches import chat_line, create, jsonl, upload_lines, wait_for_final_status
from tests.support.running_app import RunningApp, running_app

GENERATE: Final = "/v1beta/models/{model}:generateContent"
EMBED: Final = "/v1beta/models/{model}:embedContent"
MODEL: Final = "gemini-3-pro"
CONTENTS: Final = [{"role": "user", "parts": [{"text": "Hello"}]}]
ECHO: Final = "You said: Hello"


@asynccontextmanager
async def gateway(data_dir: Path, provider: str = "gemini", **account: Any) -> AsyncIterator[RunningApp]:
    """Run a gateway with one account at a simulated provider."""
    fast = SimulatorSettings(latency=0.0, require_key=account.pop("require_key", None))
    async with serving(build_simulator_app(fast)) as url:
        base_url = url + ("" if provider in {"gemini", "anthropic"} and "api" not in account else "/v1")
        settings = AccountSettings(provider=provider, base_url=base_url, api_key="key", **account)
        async with running_app(data_dir, accounts={provider: settings}) as app:
            yield app


async def results(app: RunningApp, *lines: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """Run a batch and return the bodies of its answers by id."""
    batch = await create(app, *lines, endpoint=endpoint)
    ended = await wait_for_final_status(app, batch["id"])
    assert ended["status"] == "completed", ended
    found = {}
    for file_id in (ended["output_file_id"], ended["error_file_id"]):
        if file_id:
            status, content = await app.call("GET", f"/openai/v1/files/{file_id}/content")
            assert status == 200
            text = content if isinstance(content, str | bytes) else msgspec.json.encode(content)
            for line in text.splitlines():
                row = msgspec.json.decode(line)
                found[row["custom_id"]] = row["response"]["body"] if row["response"] else row["error"]
    return found


def generate_line(custom_id: str, *, url: str = GENERATE, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"contents": CONTENTS} | body}


async def test_chat_requests_run_by_generate_content(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        found = await results(app, chat_line("a", "Hello", model=MODEL), endpoint="/v1/chat/completions")
    message = found["a"]["choices"][0]["message"]
    assert (message["content"], found["a"]["model"]) == (ECHO, MODEL)
    assert message["reasoning_content"]
    assert found["a"]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


async def test_messages_and_responses_run_by_generate_content(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        body = {"model": MODEL, "input": "Hello"}
        line = {"custom_id": "r", "method": "POST", "url": "/v1/responses", "body": body}
        response = (await results(app, line, endpoint="/v1/responses"))["r"]
        assert response["output"][-1]["content"][0]["text"] == ECHO
        params = {"model": MODEL, "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
        requests = [{"custom_id": "m", "params": params}]
        status, batch = await app.call("POST", "/anthropic/v1/messages/batches", json={"requests": requests})
        assert status == 200, batch
        await app.ended(batch["id"])
        _, text = await app.call("GET", f"/anthropic/v1/messages/batches/{batch['id']}/results")
    assert ECHO in str(text)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (GENERATE, {"model": MODEL}),
        (f"/v1beta/models/{MODEL}:generateContent", {}),
        (f"/v1/models/gemini/{MODEL}:generateContent", {}),
        (f"/v1beta/models/{MODEL}:generateContent", {"model": f"models/{MODEL}"}),
    ],
)
async def test_requests_of_gemini_pass_as_they_are(tmp_path: Path, url: str, body: dict[str, Any]) -> None:
    async with gateway(tmp_path) as app:
        filters = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]
        line = generate_line("a", url=url, safetySettings=filters, **body)
        answer = (await results(app, line, endpoint=GENERATE))["a"]
    assert answer["candidates"][0]["content"]["parts"][-1] == {"text": ECHO}
    assert answer["modelVersion"] == MODEL


async def test_a_line_whose_body_names_another_model_is_a_fault(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        line = generate_line("a", url=f"/v1beta/models/{MODEL}:generateContent", model="gemini-2.5-pro")
        file_id = await upload_lines(app, jsonl(line))
        body = {"input_file_id": file_id, "endpoint": GENERATE, "completion_window": "24h"}
        _, batch = await app.call("POST", "/openai/v1/batches", json=body)
        ended = await wait_for_final_status(app, batch["id"])
    assert ended["status"] == "failed"
    assert ended["errors"]["data"][0]["code"] == "mismatched_model"


@pytest.mark.parametrize("provider", ["anthropic", "vllm"])
async def test_requests_of_gemini_run_elsewhere_and_are_answered_as_geminis(tmp_path: Path, provider: str) -> None:
    async with gateway(tmp_path, provider) as app:
        config = {"maxOutputTokens": 99}
        plain = generate_line("plain", model="m", generationConfig=config)
        filtered = generate_line(
            "filtered", model="m", safetySettings=[{"category": "c", "threshold": "BLOCK_ONLY_HIGH"}]
        )
        found = await results(app, plain, filtered, endpoint=GENERATE)
    assert found["plain"]["candidates"][0]["content"]["parts"] == [{"text": ECHO}]
    assert found["plain"]["candidates"][0]["finishReason"] == "STOP"
    assert found["filtered"]["error"]["param"] == "safetySettings.0.threshold"


async def test_embeddings_are_translated_to_gemini_and_from_it(tmp_path: Path) -> None:
    body = {"model": "gemini-embedding-001", "input": ["a", "b"], "dimensions": 4}
    line = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": body}
    own = {
        "custom_id": "g",
        "method": "POST",
        "url": "/v1beta/models/gemini-embedding-001:embedContent",
        "body": {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4},
    }
    async with gateway(tmp_path / "gemini") as app:
        found = (await results(app, line, endpoint="/v1/embeddings"))["e"]
        passed = (await results(app, own, endpoint=EMBED))["g"]
    async with gateway(tmp_path / "vllm", "vllm") as app:
        translated = (await results(app, own, endpoint=EMBED))["g"]
    assert [item["index"] for item in found["data"]] == [0, 1]
    assert found["data"][0]["embedding"] == passed["embedding"]["values"] == translated["embedding"]["values"]


async def test_the_openai_compatible_api_is_a_setting(tmp_path: Path) -> None:
    async with gateway(tmp_path, api="openai") as app:
        answer = (await results(app, chat_line("a", model=MODEL), endpoint="/v1/chat/completions"))["a"]
    assert answer["id"].startswith("chatcmpl-")


async def test_a_wrong_key_pauses_the_account(tmp_path: Path) -> None:
    async with gateway(tmp_path, require_key="another") as app:
        batch = await create(app, chat_line("a", model=MODEL))
        while not (progress := (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1])["paused"]:
            pass
    assert "API key" in str(progress) or "x-api-key" in str(progress)
