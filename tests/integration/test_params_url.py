"""``params.url``, with which callers of Bifrost's API name the endpoint of another provider: it is not sent."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.error_responses import check_unified_error
from tests.support.running_app import BATCHES, RunningApp, params, running_app, simulator
from tests.support.unified_batches import BATCHES as UNIFIED_BATCHES

URLS = "/v1/messages, /v1/chat/completions, /v1/responses"
WRONG = f"it should be one of {URLS}; it is no field of Messages, so it may be left out"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, accounts={"openai": simulator()}) as running:
        yield running


async def sent_params(app: RunningApp, path: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Create a batch, wait until its requests have succeeded, and return their params as the gateway sent them."""
    headers = {"x-model-provider": "openai"}
    status, batch = await app.call("POST", path, json={"requests": requests}, headers=headers)
    assert status == 200, batch
    await app.ended(batch["id"])
    assert {line["result"]["type"] for line in await app.results(batch["id"])} == {"succeeded"}
    (written,) = app.data_dir.rglob(f"{batch['id']}/input.jsonl")
    return [json.loads(line)["params"] for line in written.read_text().splitlines()]


@pytest.mark.parametrize("path", [BATCHES, UNIFIED_BATCHES])
@pytest.mark.parametrize("url", URLS.split(", "))
async def test_the_url_in_params_is_left_out(app: RunningApp, path: str, url: str) -> None:
    requests = [
        {"custom_id": "first", "params": {"url": url} | params()},
        {"custom_id": "last", "params": params() | {"url": url}},
        {"custom_id": "none", "params": params()},
    ]
    assert await sent_params(app, path, requests) == [params()] * 3


@pytest.mark.parametrize("path", [BATCHES, UNIFIED_BATCHES])
async def test_a_url_elsewhere_in_params_stays(app: RunningApp, path: str) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://images.example/1.png"}}
    content = [image, {"type": "text", "text": '"url": "/v1/messages"'}]
    with_image = params() | {"messages": [{"role": "user", "content": content}]}
    requests = [
        {"custom_id": "image", "params": with_image},
        {"custom_id": "both", "params": with_image | {"url": "/v1/chat/completions"}},
    ]
    assert await sent_params(app, path, requests) == [with_image] * 2


async def test_a_url_with_escaped_slashes_is_read(app: RunningApp) -> None:
    body = json.dumps({"requests": [{"custom_id": "a", "params": params() | {"url": "/v1/messages"}}]})
    escaped = body.replace("/v1/messages", "\\/v1\\/messages")
    headers = {"Content-Type": "application/json"}
    status, batch = await app.call("POST", BATCHES, data=escaped.encode(), headers=headers)
    assert status == 200, batch


@pytest.mark.parametrize(
    "url", ["/v1/embeddings", "/v1/completions", "https://api.openai.com/v1/messages", "", 7, None]
)
async def test_another_url_in_params_is_refused_with_its_place(app: RunningApp, url: object) -> None:
    requests = [{"custom_id": "a", "params": params()}, {"custom_id": "b", "params": params() | {"url": url}}]
    status, error = await app.call("POST", BATCHES, json={"requests": requests})
    assert (status, error["error"]["message"]) == (400, f"requests.1.params.url: {WRONG}")
    async with app.client.post(app.url + UNIFIED_BATCHES, json={"requests": requests}) as response:
        expected = (400, "invalid_request_error")
        body = await response.read()
        message = check_unified_error(
            response.status,
            response.headers,
            body,
            expected=expected,
            param="requests.1.params.url",
            code="invalid_value",
        )
    assert message == f"requests.1.params.url: {WRONG}"
