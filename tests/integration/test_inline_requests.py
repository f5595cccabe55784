"""Creates on the OpenAI surface with the requests in the body, as other gateways document them for its SDKs."""

import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.openai_batches import BATCHES, CHAT, chat_line, download_lines, wait_for_final_status
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.uploads import expect_error

JSON = {"Content-Type": "application/json"}
SDK_FIELDS: dict[str, Any] = {"input_file_id": "", "endpoint": CHAT, "completion_window": "24h"}
"""The fields that the OpenAI SDKs require of their callers."""
WRONG, MISSING = "invalid_value", "missing_required_parameter"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two accounts."""
    accounts = {"openai": simulator(), "anthropic": simulator()}
    async with running_app(tmp_path, accounts=accounts) as running:
        yield running


def message_row(custom_id: str, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "Hello"}
    return {"custom_id": custom_id, "params": {"model": "simulated", "max_tokens": 16, "messages": [message]} | more}


async def create(app: RunningApp, *requests: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Create a batch as the SDK sends it: its own fields first, those of extra_body behind them."""
    status, batch = await app.call("POST", BATCHES, json=SDK_FIELDS | {"requests": list(requests)} | fields)
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def answers(app: RunningApp, batch: dict[str, Any]) -> dict[str, str]:
    """Wait for the end of a batch, and return the model's words by custom_id."""
    ended = await wait_for_final_status(app, batch["id"])
    assert (ended["status"], ended["error_file_id"]) == ("completed", None)
    lines = await download_lines(app, ended["output_file_id"])
    return {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}


@pytest.mark.parametrize(
    "file", [{"input_file_id": ""}, {"input_file_id": None}, {}], ids=["empty file", "null", "no file"]
)
async def test_requests_in_the_body_run_without_a_file(app: RunningApp, file: dict[str, Any]) -> None:
    fields = {name: value for name, value in SDK_FIELDS.items() if name != "input_file_id"} | file
    body = fields | {"requests": [chat_line("a"), chat_line("b")], "metadata": {"job": "x"}}
    status, batch = await app.call("POST", BATCHES, json=body)
    assert status == 200, batch
    assert batch["object"] == "batch"
    assert (batch["endpoint"], batch["metadata"], batch["completion_window"]) == (CHAT, {"job": "x"}, "24h")
    assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 0}
    assert batch["input_file_id"] == f"file-input-{batch['id']}"
    assert list(await answers(app, batch)) == ["a", "b"]
    assert [line["custom_id"] for line in await download_lines(app, batch["input_file_id"])] == ["a", "b"]


async def test_requests_need_nothing_beside_them(app: RunningApp) -> None:
    status, batch = await app.call(
        "POST", BATCHES, json={"requests": [{"custom_id": "a", "body": chat_line("a")["body"]}]}
    )
    assert (status, batch["endpoint"], batch["completion_window"]) == (200, CHAT, "24h")
    assert list(await answers(app, batch)) == ["a"]


async def test_params_are_requests_of_messages_also_with_the_endpoint_that_the_sdk_names(app: RunningApp) -> None:
    """Other gateways document this call for Anthropic."""
    batch = await create(app, message_row("a"), message_row("b"), provider="anthropic")
    assert batch["endpoint"] == CHAT
    assert list(await answers(app, batch)) == ["a", "b"]
    await app.ended(batch["id"])
    assert [line["result"]["type"] for line in await app.results(batch["id"])] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("place", ["before the requests", "behind them"])
async def test_the_endpoint_of_params_may_stand_anywhere(app: RunningApp, endpoint: str, place: str) -> None:
    fields: dict[str, Any] = {"endpoint": endpoint}
    requests = {"requests": [message_row("a")]}
    body = fields | requests if place == "before the requests" else requests | fields
    status, batch = await app.call("POST", BATCHES, json=body)
    assert status == 200, batch
    assert list(await answers(app, batch)) == ["a"]


async def test_the_model_of_the_body_is_that_of_requests_without_one(app: RunningApp) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    batch = await create(app, {"custom_id": "a", "body": body}, model="anthropic/fitting")
    assert batch["model"] == "anthropic/fitting"
    ended = await wait_for_final_status(app, batch["id"])
    (line,) = await download_lines(app, ended["output_file_id"])
    assert line["response"]["body"]["model"] == "fitting"
    assert [found["id"] for found in (await app.call("GET", f"{BATCHES}?provider=anthropic"))[1]["data"]] == [
        batch["id"]
    ]


async def test_many_requests_are_read_while_they_arrive(app: RunningApp) -> None:
    body = SDK_FIELDS | {"requests": [chat_line(str(number), "x" * 500) for number in range(5000)]}
    status, batch = await app.call("POST", BATCHES, data=BytesIO(json.dumps(body).encode()), headers=JSON)
    assert (status, batch["request_counts"]["total"]) == (200, 5000)


async def test_a_repeated_create_with_requests_returns_the_first_batch(app: RunningApp) -> None:
    headers = {"Idempotency-Key": "one"}
    body = SDK_FIELDS | {"requests": [chat_line("a")]}
    first = (await app.call("POST", BATCHES, json=body, headers=headers))[1]
    assert (await app.call("POST", BATCHES, json=body, headers=headers))[1]["id"] == first["id"]
    other = body | {"requests": [chat_line("b")]}
    await expect_error(app, "POST", BATCHES, status=422, code=None, json=other, headers=headers)


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        pytest.param(
            {"input_file_id": "file-x", "requests": [chat_line("a")]},
            "input_file_id",
            WRONG,
            "input_file_id: there are requests too; give one of them",
            id="file and requests",
        ),
        pytest.param({"requests": []}, "requests", WRONG, "requests: there must be at least 1 request", id="none"),
        pytest.param({}, "input_file_id", MISSING, "input_file_id: Field required, or requests", id="neither"),
        pytest.param(
            {"requests": [chat_line("a"), chat_line("a")]},
            "requests.1.custom_id",
            "duplicate_custom_id",
            "requests.1.custom_id: 'a' is already the custom_id of requests.0; each must be unique",
            id="same custom_id",
        ),
        pytest.param(
            {"endpoint": "/v1/embeddings", "requests": [message_row("a")]},
            "requests.0.params",
            "url_mismatch",
            "requests.0.params: it goes to /v1/messages, and endpoint says /v1/embeddings",
            id="params for another endpoint",
        ),
        pytest.param(
            {"endpoint": CHAT, "requests": [chat_line("a"), message_row("b")]},
            "requests.1.params",
            WRONG,
            "requests.1.params: others have body; all requests have the same shape",
            id="two shapes",
        ),
        pytest.param(
            {"endpoint": "/v1/responses", "requests": [chat_line("a")]},
            "requests.0.url",
            "url_mismatch",
            "requests.0.url: it goes to /v1/chat/completions, and endpoint says /v1/responses",
            id="url of another endpoint",
        ),
        pytest.param(
            {"provider": "acme", "requests": [chat_line("a")]},
            "provider",
            WRONG,
            "provider: there is no account 'acme'; configured: openai, anthropic",
            id="unknown account",
        ),
        pytest.param(
            {"requests": [chat_line("a")], "input_blob": "https://x"},
            "input_blob",
            "unknown_parameter",
            "input_blob: Extra inputs are not permitted",
            id="another source of requests",
        ),
    ],
)
async def test_wrong_requests_are_refused_as_a_whole(
    app: RunningApp, body: dict[str, Any], param: str, code: str, message: str
) -> None:
    data = BytesIO(json.dumps(body).encode())
    assert await expect_error(app, "POST", BATCHES, param=param, code=code, data=data, headers=JSON) == message
    assert (await app.call("GET", BATCHES))[1]["data"] == []
