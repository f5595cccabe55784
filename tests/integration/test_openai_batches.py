"""Batches on the OpenAI surface, from the upload of a file to the files of its results."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.settings import ApiKeySettings
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET
from tests.support.openai_batches import (
    BATCHES,
    CHAT,
    chat_line,
    create,
    create_body,
    download_lines,
    jsonl,
    retrieve,
    upload_lines,
    wait_for_final_status,
)
from tests.support.running_app import BATCHES as MESSAGE_BATCHES
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.running_app import create_body as requests_body
from tests.support.uploads import OPENAI as FILES

pytestmark = ON_FOLDER_AND_BUCKET

NOW = 1_795_000_000
DAY = 24 * 3600
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with one slow model; all other models are fast."""
    account = simulator(latency_by_model={"slow": 1.0})
    async with running_app(tmp_path, accounts={"openai": account}, shutdown_timeout=0.0) as running:
        yield running


def answers(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}


async def test_a_batch_runs_from_its_input_file_to_an_output_and_an_error_file(app: RunningApp) -> None:
    lines = (chat_line("a"), chat_line("b", 5), chat_line("c", "Bye"))
    created = await create(app, *lines, metadata={"job": "nightly"})
    assert created["id"].startswith("batch_01")
    assert created == {
        "id": created["id"],
        "object": "batch",
        "endpoint": CHAT,
        "model": None,
        "errors": None,
        "input_file_id": created["input_file_id"],
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": NOW,
        "in_progress_at": None,
        "expires_at": NOW + DAY,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": created["usage"],
        "metadata": {"job": "nightly"},
    }
    batch = await wait_for_final_status(app, created["id"])
    times = dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at"), NOW)
    files = {name: batch[name] for name in ("output_file_id", "error_file_id", "usage")}
    counts = {"total": 3, "completed": 2, "failed": 1}
    ended = {"status": "completed", "model": "simulated", "request_counts": counts}
    assert batch == created | times | files | ended
    output = await download_lines(app, batch["output_file_id"])
    assert answers(output) == {"a": "You said: Hello", "c": "You said: Bye"}
    assert [line["error"] for line in output] == [None, None]
    used = [line["response"]["body"]["usage"] for line in output]
    assert batch["usage"]["total_tokens"] == sum(usage["total_tokens"] for usage in used) > 0
    (refused,) = await download_lines(app, batch["error_file_id"])
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("b", 400)
    assert refused["response"]["body"]["error"]["type"] == "invalid_request_error"


async def test_the_result_files_of_a_batch_are_listed_with_their_size_and_expiry(app: RunningApp) -> None:
    batch = await wait_for_final_status(app, (await create(app, chat_line("a"), chat_line("b", 5)))["id"])
    _, page = await app.call("GET", f"{FILES}?purpose=batch_output")
    assert {file["id"] for file in page["data"]} == {batch["output_file_id"], batch["error_file_id"]}
    for file in page["data"]:
        async with app.client.get(f"{app.url}{FILES}/{file['id']}/content") as response:
            assert len(await response.read()) == file["bytes"]
        assert (file["expires_at"], file["filename"].endswith(".jsonl")) == (NOW + 30 * DAY, True)


async def test_a_batch_without_errors_has_no_error_file_and_one_without_successes_no_output_file(
    app: RunningApp,
) -> None:
    clean = await wait_for_final_status(app, (await create(app, chat_line("a")))["id"])
    assert (clean["status"], clean["error_file_id"]) == ("completed", None)
    assert len(await download_lines(app, clean["output_file_id"])) == 1
    failed = await wait_for_final_status(app, (await create(app, chat_line("a", 1), chat_line("b", 2)))["id"])
    assert (failed["status"], failed["output_file_id"]) == ("completed", None)
    assert len(await download_lines(app, failed["error_file_id"])) == 2


async def test_output_expires_after_sets_how_long_the_files_are_kept(app: RunningApp) -> None:
    kept = {"anchor": "created_at", "seconds": 3600}
    batch = await wait_for_final_status(app, (await create(app, chat_line("a"), output_expires_after=kept))["id"])
    _, file = await app.call("GET", f"{FILES}/{batch['output_file_id']}")
    assert file["expires_at"] == NOW + 3600
    app.clock.move(3600)
    assert (await app.call("GET", f"{FILES}/{batch['output_file_id']}"))[0] == 404


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/embeddings", {"input": "Hello"}),
        ("/v1/completions", {"prompt": "Hello"}),
    ],
)
async def test_each_endpoint_returns_its_own_object_type(app: RunningApp, endpoint: str, body: dict[str, Any]) -> None:
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "simulated"} | body}
    batch = await wait_for_final_status(app, (await create(app, line, endpoint=endpoint))["id"])
    assert (batch["endpoint"], batch["request_counts"]) == (endpoint, {"total": 1, "completed": 1, "failed": 0})
    (answer,) = await download_lines(app, batch["output_file_id"])
    kinds = {CHAT: "chat.completion", "/v1/responses": "response", "/v1/embeddings": "list"}
    assert answer["response"]["body"]["object"] == kinds.get(endpoint, "text_completion")


async def test_a_canceled_batch_keeps_finished_requests_and_lists_the_others_as_cancelled(app: RunningApp) -> None:
    lines = [chat_line("quick"), *(chat_line(f"slow-{n}", f"{n}", model="slow") for n in range(200))]
    batch_id = (await create(app, *lines))["id"]
    while (await retrieve(app, batch_id))["request_counts"]["completed"] < 1:
        pass
    # The SDKs declare JSON but send an empty body.
    status, batch = await app.call("POST", f"{BATCHES}/{batch_id}/cancel", data=b"", headers=JSON)
    assert (status, batch["status"], batch["cancelling_at"]) == (200, "cancelling", NOW)
    assert batch["output_file_id"] is None
    batch = await wait_for_final_status(app, batch_id)
    assert (batch["status"], batch["cancelled_at"], batch["completed_at"]) == ("cancelled", NOW, None)
    output, rest = await download_lines(app, batch["output_file_id"]), await download_lines(app, batch["error_file_id"])
    assert batch["request_counts"] == {"total": 201, "completed": len(output), "failed": len(rest)}
    assert len(output) + len(rest) == 201
    assert {line["error"]["code"] for line in rest} == {"batch_cancelled"}
    assert batch["model"] is None
    assert await app.call("POST", f"{BATCHES}/{batch_id}/cancel") == (200, batch)


async def test_an_expired_batch_keeps_finished_requests_and_lists_the_others_as_expired(app: RunningApp) -> None:
    lines = [chat_line("quick"), *(chat_line(f"slow-{n}", f"{n}", model="slow") for n in range(200))]
    batch_id = (await create(app, *lines))["id"]
    while (await retrieve(app, batch_id))["request_counts"]["completed"] < 1:
        pass
    app.clock.move(DAY)
    batch = await wait_for_final_status(app, batch_id)
    assert (batch["status"], batch["expired_at"], batch["completed_at"]) == ("expired", NOW + DAY, None)
    rest = await download_lines(app, batch["error_file_id"])
    assert {line["error"]["code"] for line in rest} == {"batch_expired"}
    counts = batch["request_counts"]
    assert (counts["failed"], counts["completed"] + counts["failed"]) == (len(rest), counts["total"])
    await expect_cancel_refused(app, batch)


async def expect_cancel_refused(app: RunningApp, batch: dict[str, Any]) -> None:
    """Cancel a batch that has ended: refused here, without a retry by SDKs, and returned unchanged by the others."""
    async with app.client.post(f"{app.url}{BATCHES}/{batch['id']}/cancel") as response:
        assert (response.status, response.headers["x-should-retry"]) == (409, "false")
        message = f"Cannot cancel a batch with status '{batch['status']}'."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        assert await response.json() == {"error": error}
    for path in (f"{MESSAGE_BATCHES}/{batch['id']}", f"/v1/batches/{batch['id']}"):
        _, before = await app.call("GET", path)
        status, after = await app.call("POST", f"{path}/cancel")
        assert (status, after | {"extra_fields": None}) == (200, before | {"extra_fields": None})
    assert await retrieve(app, batch["id"]) == batch


async def test_a_batch_that_is_completed_or_failed_cannot_be_cancelled(app: RunningApp) -> None:
    for lines in ((chat_line("a"), chat_line("b", 5)), (chat_line("a"), chat_line("a"))):
        await expect_cancel_refused(app, await wait_for_final_status(app, (await create(app, *lines))["id"]))


async def test_a_batch_that_is_cancelled_during_its_validation_is_cancelled_again_without_a_change(
    app: RunningApp,
) -> None:
    created = await create(app, *(chat_line(f"{n}") for n in range(2000)))
    status, batch = await app.call("POST", f"{BATCHES}/{created['id']}/cancel")
    assert status == 200
    batch = await wait_for_final_status(app, created["id"])
    assert batch["status"] == "cancelled"
    assert await app.call("POST", f"{BATCHES}/{created['id']}/cancel") == (200, batch)


@pytest.mark.parametrize(
    ("models", "common"),
    [
        (("simulated", "simulated"), "simulated"),
        (("openai/simulated", "openai/simulated"), "openai/simulated"),
        (("simulated", "other"), None),
        (("simulated", "other", "simulated"), None),
        (("openai/simulated", "simulated"), None),
    ],
)
async def test_a_batch_has_the_model_of_its_requests_if_they_agree(
    app: RunningApp, models: tuple[str, ...], common: str | None
) -> None:
    created = await create(app, *(chat_line(f"{n}", model=model) for n, model in enumerate(models)))
    assert created["model"] is None
    assert (await wait_for_final_status(app, created["id"]))["model"] == common
    requests = [row for n, model in enumerate(models) for row in requests_body(f"{n}", model=model)["requests"]]
    _, theirs = await app.call("POST", MESSAGE_BATCHES, json={"requests": requests})
    assert (await retrieve(app, theirs["id"]))["model"] == common


async def test_a_nested_key_named_model_is_no_model_of_a_request(app: RunningApp) -> None:
    tool = {"name": "buy", "input_schema": {"type": "object", "properties": {"model": {"type": "string"}}}}
    body = requests_body("a")
    body["requests"][0]["params"] |= {"tools": [tool], "metadata": {"user_id": '"model": "other"'}}
    _, theirs = await app.call("POST", MESSAGE_BATCHES, json=body)
    assert (await retrieve(app, theirs["id"]))["model"] == "simulated"


async def test_a_list_continues_after_a_cursor_whose_batch_was_deleted(app: RunningApp) -> None:
    ids = [(await create(app, chat_line("a")))["id"] for _ in range(5)]
    for batch_id in ids:
        await wait_for_final_status(app, batch_id)
    status, page = await app.call("GET", f"{BATCHES}?limit=2")
    assert (status, page["object"], page["has_more"]) == (200, "list", True)
    assert [batch["id"] for batch in page["data"]] == [page["first_id"], page["last_id"]] == ids[:2:-1]
    assert (await app.call("DELETE", f"{MESSAGE_BATCHES}/{ids[3]}"))[0] == 200
    _, rest = await app.call("GET", f"{BATCHES}?after={ids[3]}")
    assert ([batch["id"] for batch in rest["data"]], rest["has_more"]) == (ids[2::-1], False)
    assert rest["data"][0] == await retrieve(app, ids[2])
    _, none = await app.call("GET", f"{BATCHES}?after={ids[0]}")
    assert none == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_a_repeated_create_makes_one_batch(app: RunningApp) -> None:
    body = create_body(await upload_lines(app, jsonl(chat_line("a"))))
    key = {"Idempotency-Key": "mine"}
    first = (await app.call("POST", BATCHES, json=body, headers=key))[1]["id"]
    assert (await app.call("POST", BATCHES, json=body, headers=key))[1]["id"] == first
    retried = {"x-stainless-retry-count": "1"}
    assert (await app.call("POST", BATCHES, json=body, headers=retried))[1]["id"] == first
    assert (await app.call("POST", BATCHES, json=body))[1]["id"] != first
    status, refused = await app.call("POST", BATCHES, json=body | {"metadata": {"a": "b"}}, headers=key)
    assert (status, refused["error"]["type"]) == (422, "invalid_request_error")
    await wait_for_final_status(app, first)
    await app.call("DELETE", f"{FILES}/{body['input_file_id']}")
    assert (await app.call("POST", BATCHES, json=body, headers=key))[1]["id"] == first
    assert (await app.call("POST", BATCHES, json=body))[0] == 400


async def test_a_compressed_body_is_decoded(app: RunningApp) -> None:
    body = msgspec.json.encode(create_body(await upload_lines(app, jsonl(chat_line("a")))))
    headers = JSON | {"Content-Encoding": "gzip"}
    status, batch = await app.call("POST", "/openai/batches", data=gzip.compress(body), headers=headers)
    assert (status, batch["object"]) == (200, "batch")


async def test_a_batch_belongs_to_the_workspace_of_its_key(tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("mine", "other")}
    async with running_app(tmp_path, api_keys=keys) as app:
        mine, other = {"Authorization": "Bearer sk-mine"}, {"Authorization": "Bearer sk-other"}
        file_id = await upload_lines(app, jsonl(chat_line("a")), headers=mine)
        status, refused = await app.call("POST", BATCHES, json=create_body(file_id), headers=other)
        assert (status, refused["error"]["param"]) == (400, "input_file_id")
        status, batch = await app.call("POST", BATCHES, json=create_body(file_id), headers=mine)
        assert status == 200
        for method, path in (("GET", ""), ("POST", "/cancel")):
            assert (await app.call(method, f"{BATCHES}/{batch['id']}{path}", headers=other))[0] == 404
        assert (await app.call("GET", BATCHES, headers=other))[1]["data"] == []
        assert (await app.call("GET", f"{BATCHES}?after={batch['id']}", headers=other))[0] == 400


async def test_the_body_or_a_header_selects_the_account_by_its_name_or_provider(tmp_path: Path) -> None:
    accounts = {"openai": simulator(), "spare": simulator()}
    async with running_app(tmp_path, accounts=accounts) as app:
        unnamed = await create(app, chat_line("a"))
        by_body = await create(app, chat_line("a"), provider="spare")
        body = create_body(by_body["input_file_id"])
        _, by_header = await app.call("POST", BATCHES, json=body, headers={"x-model-provider": "spare"})
        for batch in (unnamed, by_body, by_header):
            assert (await wait_for_final_status(app, batch["id"]))["request_counts"]["completed"] == 1
        _, spare = await app.call("GET", f"{BATCHES}?provider=spare")
        assert [batch["id"] for batch in spare["data"]] == [by_header["id"], by_body["id"]]
        _, own = await app.call("GET", f"{BATCHES}?provider=openai")
        assert [batch["id"] for batch in own["data"]] == [unnamed["id"]]
