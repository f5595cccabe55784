"""Quotas: a call over a quota is refused with 429 in the envelope of its dialect, and nothing of it is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.test_utils import unused_port
from msgspec import structs

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.api.early_quotas import SHORT_BODY
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support import openai_batches
from tests.support.databases import DATABASES, Database, new_database
from tests.support.error_responses import check_anthropic_error, check_openai_error, check_unified_error
from tests.support.openai_batches import chat_line, create_body, jsonl, upload_lines
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator
from tests.support.running_app import create_body as messages_body
from tests.support.surfaces import UNIFIED_BATCHES
from tests.support.uploads import MULTIPART, file_part, form, part, upload, valid_form

ROOT: Final = {"x-api-key": "sk-root"}
USAGE: Final = "/api/usage"
REFUSED: Final = (429, "rate_limit_error")
EXPIRES_IN_AN_HOUR: Final = (part("expires_after[anchor]", "created_at"), part("expires_after[seconds]", "3600"))


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose models cost $10 per million input tokens, and $20 per million output tokens."""
    price = PriceSettings(input=10.0, output=20.0)
    account = structs.replace(simulator(latency_by_model={"slow": 30.0}), prices={"*": price})
    down = AccountSettings(provider="openai", base_url=f"http://127.0.0.1:{unused_port()}/v1")
    accounts = {"openai": account, "down": down}
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(
        tmp_path,
        accounts=accounts,
        default_provider="openai",
        api_keys=keys,
        shutdown_timeout=0.0,
        database_url=database.url,
    ) as running:
        running.client.headers.update(ROOT)
        yield running


async def set_quotas(app: RunningApp, **changes: Any) -> None:
    status, answer = await app.call("PATCH", "/api/workspaces/default", json={"quotas": changes})
    assert status == 200, answer


async def current_usage(app: RunningApp) -> dict[str, Any]:
    status, report = await app.call("GET", USAGE)
    assert status == 200
    assert isinstance(report["workspace"]["use"], dict)
    return report["workspace"]["use"]


async def expect_quota_error(app: RunningApp, path: str, *, retry_after: str | None = None, **options: Any) -> str:
    """Make a call that must be refused because of a quota, and return the message."""
    async with app.client.post(app.url + path, **options) as response:
        answer = (response.status, response.headers, await response.read())
    assert answer[1].get("x-should-retry") == (None if retry_after else "false")
    assert answer[1].get("Retry-After") == retry_after
    if path.startswith("/openai"):
        return check_openai_error(*answer, expected=REFUSED, param=None, code="quota_exceeded")
    if path.startswith(("/v1/batches", "/v1/files")):
        return check_unified_error(*answer, expected=REFUSED, param=None, code="quota_exceeded")
    return check_anthropic_error(*answer, expected=REFUSED, code="quota_exceeded")


CREATES: Final = [BATCHES, "/v1/messages/batches", "/v1/v1/messages/batches", f"{UNIFIED_BATCHES}?provider=openai"]


@pytest.mark.parametrize("path", CREATES)
async def test_a_create_over_a_quota_is_refused_in_the_envelope_of_its_dialect(app: RunningApp, path: str) -> None:
    await set_quotas(app, queued_requests=1)
    message = await expect_quota_error(app, path, json=messages_body("a", "b"))
    assert message == (
        "Workspace 'default' is at its quota of queued requests: the limit is 1, 0 are in use, and this needs 2 more."
    )
    _, page = await app.call("GET", BATCHES)
    assert page["data"] == []
    assert [path for path in (app.data_dir / "blobs").rglob("*") if path.is_file()] == []
    await set_quotas(app, queued_requests=None)
    await app.create("a", "b")


@pytest.mark.parametrize("path", ["/openai/v1/batches", "/openai/batches"])
async def test_a_create_from_a_file_over_a_quota_is_refused(app: RunningApp, path: str) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a")))
    await set_quotas(app, concurrent_batches=0)
    message = await expect_quota_error(app, path, json=create_body(file_id))
    assert "quota of concurrent batches: the limit is 0, 0 are in use, and this needs 1 more." in message


async def test_a_file_with_too_many_requests_fails_its_batch(app: RunningApp) -> None:
    await set_quotas(app, queued_requests=2)
    batch = await openai_batches.create(app, *(chat_line(name) for name in "abc"))
    failed = await openai_batches.wait_for_final_status(app, batch["id"])
    assert failed["status"] == "failed"
    [fault] = failed["errors"]["data"]
    assert (fault["code"], fault["line"]) == ("quota_exceeded", None)
    assert "the limit is 2, 0 are in use, and this needs 3 more" in fault["message"]


@pytest.mark.parametrize("path", ["/openai/v1/files", "/openai/files", "/v1/files?provider=openai"])
async def test_an_upload_over_a_quota_is_refused_and_leaves_nothing_stored(app: RunningApp, path: str) -> None:
    await set_quotas(app, stored_bytes=10)
    message = await expect_quota_error(app, path, data=BytesIO(valid_form()), headers=MULTIPART)
    assert "is at its quota of stored bytes: the limit is 10, 0 are in use, and this needs " in message
    assert (await current_usage(app))["stored_bytes"] == 0
    assert [path for path in (app.data_dir / "blobs").rglob("*") if path.is_file()] == []


async def test_an_upload_over_a_quota_is_refused_before_it_is_complete(app: RunningApp) -> None:
    await set_quotas(app, stored_bytes=1_000_000)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield form(part("purpose", "user_data"), file_part(b"x" * 2_000_000))[:1_900_000]
        await never.wait()

    message = await expect_quota_error(app, "/openai/v1/files", data=body(), headers=MULTIPART)
    assert "is at its quota of stored bytes: the limit is 1000000" in message


UPLOADS: Final = ["/openai/v1/files", "/openai/files", "/v1/files?provider=openai", "/anthropic/v1/files"]


@pytest.mark.parametrize("path", [*CREATES, *UPLOADS])
async def test_a_create_or_upload_in_a_full_minute_is_refused_until_the_next_one(app: RunningApp, path: str) -> None:
    """The minute of the clock has 20 seconds left."""
    options: dict[str, Any] = {"json": messages_body("a")}
    if path in UPLOADS:
        options = {"data": valid_form(), "headers": MULTIPART}
    await set_quotas(app, creates_per_minute=2)
    await app.create("a")
    await upload(app)
    message = await expect_quota_error(app, path, retry_after="20", **options)
    assert message == (
        "Workspace 'default' is at its quota of creates per minute: the limit is 2, and 2 were accepted in this minute."
    )
    assert len([name for name in (app.data_dir / "blobs").rglob("files/*/content") if name.is_file()]) == 1
    app.clock.move(19.5)
    await expect_quota_error(app, path, retry_after="1", **options)
    app.clock.move(0.5)
    async with app.client.post(app.url + path, **options) as response:
        assert response.status == 200
    assert (await current_usage(app))["creates_per_minute"] == 1


async def test_concurrent_creates_and_uploads_are_accepted_up_to_the_quota_of_a_minute(app: RunningApp) -> None:
    await set_quotas(app, creates_per_minute=5)
    creates = [app.call("POST", BATCHES, json=messages_body("a", model="slow")) for _ in range(8)]
    uploads = [app.call("POST", "/openai/v1/files", data=valid_form(), headers=MULTIPART) for _ in range(8)]
    statuses = [status for status, _ in await asyncio.gather(*creates, *uploads)]
    assert sorted(statuses) == [200] * 5 + [429] * 11
    usage = await current_usage(app)
    assert (usage["creates_per_minute"], usage["concurrent_batches"] + usage["files"]) == (5, 5)
    assert len([path for path in (app.data_dir / "blobs").rglob("*") if path.is_file()]) == 5


@pytest.mark.parametrize("quota", ["creates_per_minute", "concurrent_batches", "queued_requests"])
@pytest.mark.parametrize("path", CREATES)
async def test_a_long_create_over_a_quota_is_refused_before_it_is_complete(
    app: RunningApp, path: str, quota: str
) -> None:
    await set_quotas(app, **{quota: 0})
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"requests": ['
        await never.wait()

    message = await expect_quota_error(app, path, data=body(), headers={"Content-Type": "application/json"})
    assert f"is at its quota of {quota.replace('_', ' ')}: the limit is 0" in message


@pytest.mark.parametrize("quota", ["creates_per_minute", "files"])
@pytest.mark.parametrize("path", UPLOADS)
async def test_an_upload_that_cannot_be_stored_is_refused_before_it_begins(
    app: RunningApp, path: str, quota: str
) -> None:
    await set_quotas(app, **{quota: 0})
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield valid_form()[:10]
        await never.wait()

    message = await expect_quota_error(app, path, data=body(), headers=MULTIPART)
    assert f"is at its quota of {quota.replace('_', ' ')}: the limit is 0" in message


async def test_a_long_create_that_is_retried_in_a_full_minute_returns_its_batch(app: RunningApp) -> None:
    body = messages_body(*(f"request-{number:06}" for number in range(4000)), model="slow")
    assert len(json.dumps(body)) > SHORT_BODY
    first = await app.call("POST", BATCHES, json=body, headers={"Idempotency-Key": "once"})
    await set_quotas(app, creates_per_minute=1)
    _, again = await app.call("POST", BATCHES, json=body, headers={"Idempotency-Key": "once"})
    status, marked = await app.call("POST", BATCHES, json=body, headers={"X-Stainless-Retry-Count": "1"})
    assert (status, again["id"], marked["id"]) == (200, first[1]["id"], first[1]["id"])
    await expect_quota_error(app, BATCHES, json=body, retry_after="20")


async def test_an_invalid_create_is_not_counted(app: RunningApp) -> None:
    await set_quotas(app, creates_per_minute=1)
    empty: dict[str, Any] = {"requests": []}
    for body in (empty, messages_body("a", "a")):
        status, _ = await app.call("POST", BATCHES, json=body)
        assert status == 400
    await app.create("a")


async def test_uploads_are_accepted_up_to_the_quota_of_files_until_one_is_deleted_or_expires(app: RunningApp) -> None:
    await set_quotas(app, files=2)
    deleted = await upload(app)
    await upload(app, part("purpose", "batch"), *EXPIRES_IN_AN_HOUR, file_part())
    message = await expect_quota_error(app, "/openai/v1/files", data=valid_form(), headers=MULTIPART)
    assert "quota of files: the limit is 2, 2 are in use, and this needs 1 more." in message
    await app.call("DELETE", f"/openai/v1/files/{deleted['id']}")
    await upload(app)
    app.clock.move(3601)
    while (await current_usage(app))["files"] == 2:
        continue
    await upload(app)
    usage = await current_usage(app)
    assert (usage["files"], usage["stored_bytes"]) == (2, 2 * 4096)


async def test_views_of_results_do_not_count_as_files(app: RunningApp) -> None:
    batch = await openai_batches.create(app, chat_line("a"))
    ended = await openai_batches.wait_for_final_status(app, batch["id"])
    assert ended["output_file_id"] is not None
    assert (await current_usage(app))["files"] == 1
    await app.call("DELETE", f"/openai/v1/files/{ended['output_file_id']}")
    assert (await current_usage(app))["files"] == 1


async def test_concurrent_creates_are_accepted_up_to_the_quota(app: RunningApp) -> None:
    await set_quotas(app, concurrent_batches=3)

    async def attempt() -> int:
        status, _ = await app.call("POST", BATCHES, json=messages_body("a", model="slow"))
        return status

    statuses = await asyncio.gather(*(attempt() for _ in range(10)))
    assert sorted(statuses) == [200] * 3 + [429] * 7


async def test_the_cost_of_responses_is_added_up_and_limits_new_batches(app: RunningApp) -> None:
    await set_quotas(app, monthly_spend_usd=0.0005)
    batch = await app.create("a", "b")
    await app.ended(batch["id"])
    results = await app.results(batch["id"])
    usages = [result["result"]["message"]["usage"] for result in results]
    cost = sum(usage["input_tokens"] * 10 + usage["output_tokens"] * 20 for usage in usages) / 1_000_000
    assert cost > 0
    assert (await current_usage(app))["monthly_spend_usd"] == pytest.approx(cost)
    while (await current_usage(app))["monthly_spend_usd"] < 0.0005:
        await app.ended((await app.create("a"))["id"])
    message = await expect_quota_error(app, BATCHES, json=messages_body("a"))
    assert "is at its quota of spend in a calendar month: the limit is $0.0005, and $0.000" in message
    app.clock.move(40 * 24 * 3600)
    assert (await current_usage(app))["monthly_spend_usd"] == 0
    await app.create("a")


async def test_usage_counts_queued_requests_running_batches_and_stored_bytes(app: RunningApp) -> None:
    assert await current_usage(app) == {
        "queued_requests": 0,
        "concurrent_batches": 0,
        "stored_bytes": 0,
        "files": 0,
        "creates_per_minute": 0,
        "monthly_spend_usd": 0.0,
    }
    status, running = await app.call("POST", BATCHES, json=messages_body("a", "b", model="down/m"))
    assert status == 200
    file_id = await upload_lines(app, b"notes" * 1000, purpose="user_data")
    usage = await current_usage(app)
    on_disk = sum(path.stat().st_size for path in (app.data_dir / "blobs").rglob("*") if path.is_file())
    assert (usage["queued_requests"], usage["concurrent_batches"], usage["stored_bytes"]) == (2, 1, on_disk)
    assert (usage["files"], usage["creates_per_minute"]) == (1, 2)
    await app.call("POST", f"{BATCHES}/{running['id']}/cancel")
    await app.call("DELETE", f"/openai/v1/files/{file_id}")
    await app.ended(running["id"])
    await app.call("DELETE", f"{BATCHES}/{running['id']}")
    usage = await current_usage(app)
    assert (usage["stored_bytes"], usage["files"], usage["creates_per_minute"]) == (0, 0, 2)


async def test_a_quota_applies_only_to_its_own_workspace(app: RunningApp) -> None:
    await set_quotas(app, concurrent_batches=0)
    await app.call("POST", "/api/workspaces", json={"name": "other"})
    _, key = await app.call("POST", "/api/workspaces/other/keys", json={"name": "theirs"})
    await app.create("a", headers={"x-api-key": key["key"]})
    status, report = await app.call("GET", USAGE, headers={"x-api-key": key["key"]})
    assert (status, report["workspace"]["name"]) == (200, "other")
    status, _ = await app.call("GET", "/api/workspaces/default", headers={"x-api-key": key["key"]})
    assert status == 403


async def test_a_retried_create_returns_its_batch_even_if_the_quota_is_full(app: RunningApp) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await app.create("a", headers=headers)
    await set_quotas(app, concurrent_batches=0, queued_requests=0, stored_bytes=0, monthly_spend_usd=0)
    assert (await app.create("a", headers=headers))["id"] == first["id"]


@pytest.mark.parametrize("invalid", [-1, 1.5, "many", 10**16])
async def test_an_invalid_quota_is_refused(app: RunningApp, invalid: Any) -> None:
    status, answer = await app.call("PATCH", "/api/workspaces/default", json={"quotas": {"stored_bytes": invalid}})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
