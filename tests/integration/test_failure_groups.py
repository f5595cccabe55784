"""The progress of a batch says why its requests failed: in groups, for every dialect, as results arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support import openai_batches, unified_batches
from tests.support.http_server import http_server
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

LIMIT: Final = "prompt is too long: {} tokens > 200000 maximum (request req_011CSHoEeqs5C35K2UUrZ{:03})"
DAY: Final = 24 * 3600


async def refuse(request: web.Request) -> web.Response:
    """Refuse the models that a test names, each call with a message of its own."""
    body = await request.json()
    text = body["messages"][0]["content"]
    if body["model"] == "missing":
        error, status = {"type": "not_found_error", "message": "model: missing"}, 404
    else:
        message = LIMIT.format(200_000 + int(text), int(text))
        error, status = {"type": "invalid_request_error", "message": message}, 400
    return web.json_response({"type": "error", "error": error, "request_id": f"req_{text}"}, status=status)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a provider that refuses everything, and one that never answers."""
    async with http_server(refuse) as url:
        refusing = AccountSettings(provider="anthropic", base_url=url, api_key="sk-upstream-0123456789")
        busy = simulator(rate_limit_rate=1.0, retry_after=60.0)
        async with running_app(
            tmp_path,
            accounts={"refusing": refusing, "busy": busy},
            default_provider="refusing",
            shutdown_timeout=0.0,
            fail_fast=0,
        ) as running:
            yield running


def request(number: int, model: str = "m") -> dict[str, Any]:
    params = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": str(number)}]}
    return {"custom_id": f"r{number}", "params": params}


async def create(app: RunningApp, *requests: dict[str, Any]) -> str:
    status, batch = await app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    return str(batch["id"])


async def failures(app: RunningApp, batch_id: str) -> list[dict[str, Any]]:
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
    groups = progress["failures"]
    assert isinstance(groups, list)
    return groups


async def test_alike_messages_are_one_group_with_its_first_requests_and_an_example(app: RunningApp) -> None:
    batch_id = await create(app, *(request(number) for number in range(300)), request(300, "missing"))
    await app.ended(batch_id)
    assert await failures(app, batch_id) == [
        {
            "kind": "invalid_request_error",
            "message": "prompt is too long: <n> tokens > <n> maximum (request <id>)",
            "count": 300,
            "custom_ids": ["r0", "r1", "r2", "r3", "r4"],
            "example": LIMIT.format(200_000, 0),
        },
        {
            "kind": "not_found_error",
            "message": "model: missing",
            "count": 1,
            "custom_ids": ["r300"],
            "example": "model: missing",
        },
    ]


@pytest.mark.parametrize("surface", ["openai", "unified"])
async def test_batches_of_every_dialect_have_their_failures(app: RunningApp, surface: str) -> None:
    body = {"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": "7"}]}
    line = {"custom_id": "an id / with spaces", "method": "POST", "url": "/v1/chat/completions", "body": body}
    if surface == "openai":
        batch_id = (await openai_batches.create(app, line, endpoint="/v1/chat/completions"))["id"]
    else:
        del line["method"]
        batch_id = (await unified_batches.create(app, requests=[line], model="refusing/m"))["id"]
    await app.ended(batch_id)
    (group,) = await failures(app, batch_id)
    assert (group["kind"], group["count"]) == ("invalid_request_error", 1)
    assert group["custom_ids"] == ["an id / with spaces"]
    assert group["example"] == LIMIT.format(200_007, 7)


async def test_a_request_that_cannot_be_sent_is_a_failure_too(app: RunningApp) -> None:
    wrong = request(1)
    del wrong["params"]["model"]
    batch_id = await create(app, wrong)
    await app.ended(batch_id)
    (group,) = await failures(app, batch_id)
    assert group["kind"] == "invalid_request_error"
    assert "model" in group["message"]


async def test_failures_are_shown_while_the_batch_runs_and_canceled_requests_added_at_its_end(app: RunningApp) -> None:
    batch_id = await create(app, request(1), request(2, "busy/m"), request(3, "busy/m"))
    while not (groups := await failures(app, batch_id)):
        continue
    assert [(group["kind"], group["count"]) for group in groups] == [("invalid_request_error", 1)]
    await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
    await app.ended(batch_id)
    canceled, errored = await failures(app, batch_id)
    assert (errored["kind"], errored["count"]) == ("invalid_request_error", 1)
    assert (canceled["kind"], canceled["count"]) == ("canceled", 2)
    assert canceled["custom_ids"] == ["r2", "r3"]
    assert canceled["message"] == "The batch was canceled before this request was answered."


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
async def test_expired_requests_are_a_kind_of_their_own_with_the_last_refusal_where_results_have_it(
    app: RunningApp, dialect: str
) -> None:
    if dialect == "anthropic":
        batch_id = await create(app, request(1, "busy/m"))
    else:
        body = {"model": "busy/m", "messages": [{"role": "user", "content": "1"}]}
        line = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body}
        batch_id = (await openai_batches.create(app, line, endpoint="/v1/chat/completions"))["id"]
    while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["last_refusal"] is None:
        continue
    app.clock.move(DAY)
    await app.ended(batch_id)
    (group,) = await failures(app, batch_id)
    assert (group["kind"], group["count"], group["custom_ids"]) == ("expired", 1, ["r1"])
    if dialect == "anthropic":
        assert group["message"] == "The batch expired before this request was answered."
    else:
        assert group["message"].startswith("The last call ended with rate_limit_error (<n>): ")


async def test_an_archived_batch_has_no_failures(app: RunningApp) -> None:
    batch_id = await create(app, request(1))
    await app.ended(batch_id)
    app.clock.move(29 * DAY)
    while (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["archived_at"] is None:
        continue
    assert await failures(app, batch_id) == []


async def test_a_batch_without_failures_has_an_empty_list(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a"))
        await app.ended(batch["id"])
        assert await failures(app, batch["id"]) == []


async def test_no_failure_shows_a_key(tmp_path: Path) -> None:
    key = "sk-ant-a-key-of-the-account-0123456789"

    async def quote(request: web.Request) -> web.Response:
        error = {"type": "invalid_request_error", "message": f"cannot use {request.headers['x-api-key']} here"}
        return web.json_response({"type": "error", "error": error}, status=400)

    async with http_server(quote) as url:
        account = AccountSettings(provider="anthropic", base_url=url, api_key=key)
        async with running_app(tmp_path, accounts={"a": account}) as app:
            batch_id = await create(app, request(1))
            await app.ended(batch_id)
            groups = await failures(app, batch_id)
            assert len(groups) == 1
            assert key not in msgspec.json.encode(groups).decode()
