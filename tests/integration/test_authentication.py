"""API keys: the headers that may contain them, calls without a valid key, and the isolation of workspaces."""

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.settings import ApiKeySettings
from batchgate_api.operations import OPERATIONS
from tests.support.error_responses import check_anthropic_error, check_openai_error, check_unified_error
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

ALICE, BOB, CAROL = "sk-alice-Ab12Cd34", "sk-bob-Ef56Gh78", "sk-carol-Ij90Kl12"
WRONG = "sk-wrong-Mn34Op56"
UNAUTHENTICATED = (401, "authentication_error")
NEEDED = "An API key is needed: send it as x-api-key or as Authorization: Bearer."
UNKNOWN = "The API key is not known to this gateway."


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two keys for one workspace and one for another."""
    keys = {
        "alice": ApiKeySettings(key=ALICE, workspace="research"),
        "bob": ApiKeySettings(key_env="BOBS_KEY", workspace="sales"),
        "carol": ApiKeySettings(key=CAROL, workspace="research"),
    }
    async with running_app(tmp_path / "data", environment={"BOBS_KEY": BOB}, api_keys=keys) as app:
        yield app


def auth_headers(key: str) -> dict[str, str]:
    return {"x-api-key": key}


async def expect_error(app: RunningApp, method: str, path: str, expected: tuple[int, str], **options: Any) -> str:
    async with app.client.request(method, app.url + path, **options) as response:
        return check_anthropic_error(response.status, response.headers, await response.read(), expected=expected)


async def create_ended_batch(app: RunningApp, key: str) -> str:
    created = await app.create("a", headers=auth_headers(key))
    while True:
        _, batch = await app.call("GET", f"{BATCHES}/{created['id']}", headers=auth_headers(key))
        if batch["processing_status"] == "ended":
            assert isinstance(batch["id"], str)
            return batch["id"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x-api-key": ALICE}, id="x-api-key"),
        pytest.param({"X-API-KEY": ALICE}, id="in capitals"),
        pytest.param({"Authorization": f"Bearer {ALICE}"}, id="Bearer"),
        pytest.param({"authorization": f"bearer  {ALICE} "}, id="bearer in small letters"),
        pytest.param({"x-goog-api-key": ALICE}, id="x-goog-api-key"),
        pytest.param({"x-bf-vk": ALICE}, id="x-bf-vk"),
        pytest.param({"x-api-key": BOB}, id="a key from the environment"),
        pytest.param({"Authorization": f"Bearer {WRONG}", "x-api-key": ALICE}, id="the right one among two"),
        pytest.param({"Authorization": "Basic YTpi", "x-api-key": ALICE}, id="beside another scheme"),
    ],
)
async def test_a_valid_key_is_accepted_in_every_supported_header(gateway: RunningApp, headers: dict[str, str]) -> None:
    status, page = await gateway.call("GET", BATCHES, headers=headers)
    assert (status, page["data"]) == (200, [])


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        pytest.param({}, NEEDED, id="none"),
        pytest.param({"x-api-key": ""}, NEEDED, id="empty"),
        pytest.param({"Authorization": "Bearer"}, NEEDED, id="Bearer of nothing"),
        pytest.param({"Authorization": ALICE}, NEEDED, id="without a scheme"),
        pytest.param({"Authorization": f"Basic {ALICE}"}, NEEDED, id="another scheme"),
        pytest.param({"api-key": ALICE}, NEEDED, id="another header"),
        pytest.param({"x-api-key": WRONG}, UNKNOWN, id="wrong"),
        pytest.param({"Authorization": f"Bearer {WRONG}"}, UNKNOWN, id="wrong Bearer"),
        pytest.param({"x-api-key": ALICE.lower()}, UNKNOWN, id="in another case"),
        pytest.param({"x-api-key": ALICE[:-1]}, UNKNOWN, id="cut off"),
        pytest.param({"x-api-key": f"{ALICE}{ALICE}"}, UNKNOWN, id="twice"),
        pytest.param({"x-api-key": "BOBS_KEY"}, UNKNOWN, id="the name of its variable"),
        pytest.param({"x-api-key": "alice"}, UNKNOWN, id="the name of its owner"),
        pytest.param({"x-api-key": "Schlüssel 🔑"}, UNKNOWN, id="not ASCII"),
    ],
)
async def test_a_call_without_a_valid_key_is_refused(
    gateway: RunningApp, headers: dict[str, str], message: str
) -> None:
    assert await expect_error(gateway, "GET", BATCHES, UNAUTHENTICATED, headers=headers) == message
    assert (
        await expect_error(gateway, "POST", BATCHES, UNAUTHENTICATED, headers=headers, json=create_body("a")) == message
    )
    _, page = await gateway.call("GET", BATCHES, headers=auth_headers(ALICE))
    assert page["data"] == []


async def test_a_key_that_is_not_utf_8_is_refused_as_unknown(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"GET {BATCHES}", "x-api-key: \xff\xfe"))
        answer = await connection.read_response()
    assert check_anthropic_error(answer.status, answer.headers, answer.body, expected=UNAUTHENTICATED) == UNKNOWN


async def test_the_gateway_checks_the_key_before_it_reads_the_body(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(
            request_head(f"POST {BATCHES}", "Content-Type: application/json", "Content-Length: 1000000")
        )
        answer = await connection.read_response()
    assert check_anthropic_error(answer.status, answer.headers, answer.body, expected=UNAUTHENTICATED) == NEEDED


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param(operation.method, path, id=f"{operation.method} {path}")
        for operation in OPERATIONS
        if operation.authenticated
        for path in operation.paths
    ],
)
async def test_every_operation_that_the_spec_secures_needs_a_key(gateway: RunningApp, method: str, path: str) -> None:
    async with gateway.client.request(method, gateway.url + re.sub(r"\{\w+\}", "x", path)) as response:
        answer = (response.status, response.headers, await response.read())
    if path.startswith("/openai"):
        expected = (401, "invalid_request_error")
        assert check_openai_error(*answer, expected=expected, param=None, code="invalid_api_key") == NEEDED
    elif path.startswith(("/v1/files", "/v1/batches")):
        assert check_unified_error(*answer, expected=UNAUTHENTICATED, param=None, code="invalid_api_key") == NEEDED
    else:
        assert check_anthropic_error(*answer, expected=UNAUTHENTICATED) == NEEDED


@pytest.mark.parametrize("path", ["/health", "/openapi.json"])
@pytest.mark.parametrize("headers", [{}, auth_headers(WRONG)], ids=["no key", "a wrong key"])
async def test_health_and_the_openapi_document_need_no_key(
    gateway: RunningApp, path: str, headers: dict[str, str]
) -> None:
    status, answer = await gateway.call("GET", path, headers=headers)
    assert status == 200
    assert isinstance(answer, dict)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param(operation.method, operation.paths[0], id=operation.id)
        for operation in OPERATIONS
        if operation.authenticated and "batch_id}" in operation.paths[0]
    ],
)
async def test_a_batch_of_another_workspace_is_not_found(gateway: RunningApp, method: str, path: str) -> None:
    batch_id = await create_ended_batch(gateway, ALICE)
    call: dict[str, Any] = {"headers": auth_headers(BOB)}
    call |= {"params": {"provider": "openai"}} if path.startswith("/v1/batches") else {}
    call |= {"json": {"expires_at": "2100-01-01T00:00:00Z"}} if path.endswith("/deadline") else {}
    call |= {"json": {"budget_usd": 1}} if path.endswith("/budget") else {}
    call |= {"json": {}} if path.endswith("/retry") else {}
    call |= {"json": {"concurrency": 4}} if path.endswith("/concurrency") else {}
    call |= {"json": {"lane": "direct"}} if path.endswith("/lane") else {}
    call |= {"json": {"priority": "high"}} if path.endswith("/priority") else {}
    messages = []
    for wanted in (batch_id, "msgbatch_none"):
        status, answer = await gateway.call(method, re.sub(r"\{\w+\}", wanted, path), **call)
        assert status == 404, answer
        messages.append(answer["error"]["message"])
    assert messages[0] == messages[1].replace("msgbatch_none", batch_id)
    _, batch = await gateway.call("GET", f"{BATCHES}/{batch_id}", headers=auth_headers(ALICE))
    assert batch["processing_status"] == "ended"
    assert batch["cancel_initiated_at"] is None


async def test_a_list_contains_only_batches_of_the_callers_workspace(gateway: RunningApp) -> None:
    ids = [await create_ended_batch(gateway, key) for key in (ALICE, BOB, ALICE, CAROL, BOB)]
    for key, expected in (
        (ALICE, [ids[3], ids[2], ids[0]]),
        (CAROL, [ids[3], ids[2], ids[0]]),
        (BOB, [ids[4], ids[1]]),
    ):
        _, page = await gateway.call("GET", BATCHES, headers=auth_headers(key))
        assert [batch["id"] for batch in page["data"]] == expected
        _, page = await gateway.call("GET", BATCHES, headers=auth_headers(key) | {"x-model-provider": "simulator"})
        assert [batch["id"] for batch in page["data"]] == expected
        _, page = await gateway.call("GET", f"{BATCHES}?limit=1", headers=auth_headers(key))
        assert page["has_more"]
    _, page = await gateway.call("GET", f"{BATCHES}?limit=1&after_id={ids[4]}", headers=auth_headers(BOB))
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == ([ids[1]], False)


@pytest.mark.parametrize("cursor", ["after_id", "before_id", "page_token"])
async def test_a_cursor_of_another_workspace_is_refused(gateway: RunningApp, cursor: str) -> None:
    batch_id = await create_ended_batch(gateway, ALICE)
    path = f"{BATCHES}?{cursor}={batch_id}"
    message = await expect_error(gateway, "GET", path, (400, "invalid_request_error"), headers=auth_headers(BOB))
    assert message == f"{cursor}: there is no batch {batch_id!r} to page from"


async def test_no_key_ever_appears_in_a_response_or_in_the_log(
    gateway: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    batch_id = await create_ended_batch(gateway, ALICE)
    answers = []
    for key in (ALICE, BOB, WRONG):
        for header, value in (("x-api-key", key), ("Authorization", f"Bearer {key}"), ("Authorization", key)):
            for path in (BATCHES, f"{BATCHES}/{batch_id}", f"{BATCHES}/{batch_id}/results", f"{BATCHES}?limit=0", "/x"):
                async with gateway.client.get(gateway.url + path, headers={header: value}) as response:
                    answers.append(f"{response.headers}{await response.text()}")
    for line in (
        f"x-api-key: {ALICE}\0",
        f"x-api-key: {ALICE * 1000}",
        f"x-api-key {ALICE}",
        f"x-api-key: a\r\n {ALICE}",
    ):
        async with raw_connection(gateway.url) as connection:
            await connection.send(request_head(f"GET {BATCHES}", line))
            answer = await connection.read_response()
            assert answer.status == 400
            answers.append(f"{answer.headers}{answer.body!r}")
    assert "malformed HTTP" in caplog.text
    records = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    for key in (ALICE, BOB, WRONG):
        assert not [text for text in (*answers, *records, caplog.text) if key in text]
