"""Batches on the unified surface: created from both formats of requests and from files, polled, listed and read."""

import gzip
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.settings import ApiKeySettings
from batchgate_api.gateway import UnifiedBatch, UnifiedBatchList, UnifiedBatchResults
from tests.support.openai_batches import BATCHES as OPENAI_BATCHES
from tests.support.openai_batches import chat_line, jsonl, upload_lines
from tests.support.running_app import BATCHES as MESSAGE_BATCHES
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.unified_batches import (
    BATCHES,
    CHAT,
    chat_rows,
    create,
    message_rows,
    messages,
    retrieve,
    wait_for_final_status,
)

NOW = 1_795_000_000
DAY = 24 * 3600
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two accounts that are named like providers, and one slow model."""
    account = simulator(latency_by_model={"slow": 60.0})
    async with running_app(
        tmp_path, accounts={"openai": account, "anthropic": account}, shutdown_timeout=0.0
    ) as running:
        yield running


async def results(app: RunningApp, batch_id: str, provider: str = "openai", **headers: str) -> tuple[str, bytes]:
    url = f"{app.url}{BATCHES}/{batch_id}/results?provider={provider}"
    async with app.client.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        return response.headers["Content-Type"], await response.read()


async def result_lines(app: RunningApp, batch_id: str, provider: str = "openai") -> list[dict[str, Any]]:
    media_type, body = await results(app, batch_id, provider)
    assert media_type == "application/x-jsonl"
    return [msgspec.json.decode(line) for line in body.splitlines()]


def without_nulls(line: dict[str, Any], *names: str) -> dict[str, Any]:
    """Remove these fields and all null fields from a line and from its response."""
    found = {name: value for name, value in line.items() if name not in names and value is not None}
    return found | ({"response": without_nulls(found["response"])} if "response" in found else {})


def extra_fields(request_type: str, response: dict[str, Any], provider: str = "openai", **more: str) -> dict[str, Any]:
    latency = response["extra_fields"]["latency"]
    assert isinstance(latency, int)
    return {"request_type": request_type, "provider": provider, "latency": latency, "chunk_index": 0} | more


async def test_a_batch_of_bodies_runs_from_its_create_to_its_results(app: RunningApp) -> None:
    rows = [*chat_rows("a", "b"), *chat_rows("c", content=5)]
    created = await create(app, requests=rows, metadata={"job": "nightly"})
    assert created["id"].startswith("batch_01")
    assert created == {
        "id": created["id"],
        "object": "batch",
        "endpoint": CHAT,
        "input_file_id": f"file-input-{created['id']}",
        "completion_window": "24h",
        "status": created["status"],
        "request_counts": {"total": 3, "completed": 0, "failed": 0, "pending": 3},
        "metadata": {"job": "nightly"},
        "created_at": NOW,
        "expires_at": NOW + DAY,
        "in_progress_at": NOW,
        "extra_fields": extra_fields("batch_create", created, model_requested="simulated"),
    }
    batch = await wait_for_final_status(app, created["id"])
    assert batch == created | {
        "status": "completed",
        "request_counts": {"total": 3, "completed": 2, "failed": 1, "succeeded": 2},
        "finalizing_at": NOW,
        "completed_at": NOW,
        "output_file_id": batch["output_file_id"],
        "error_file_id": batch["error_file_id"],
        "extra_fields": extra_fields("batch_retrieve", batch, model_requested="simulated"),
    }
    lines = await result_lines(app, batch["id"])
    assert [line["custom_id"] for line in lines] == ["a", "b", "c"]
    assert [line["response"]["status_code"] for line in lines] == [200, 200, 400]
    assert lines[0]["response"]["body"]["choices"][0]["message"]["content"] == "You said: Hello"
    url = f"{app.url}/v1/files/{batch['input_file_id']}/content?provider=openai"
    async with app.client.get(url) as response:
        written = [json.loads(line) for line in (await response.read()).splitlines()]
    assert written == [row | {"method": "POST"} for row in rows]


async def test_a_batch_of_params_is_a_messages_batch(app: RunningApp) -> None:
    created = await create(
        app, model="anthropic/simulated", requests=[*message_rows("a"), *message_rows("b", content=5)]
    )
    batch = await wait_for_final_status(app, created["id"], "anthropic")
    assert batch == created | {
        "endpoint": "/v1/messages",
        "status": "ended",
        "processing_status": "ended",
        "request_counts": {"total": 2, "completed": 1, "failed": 1, "succeeded": 1},
        "finalizing_at": NOW,
        "completed_at": NOW,
        "output_file_id": f"file-output-{batch['id']}",
        "error_file_id": f"file-error-{batch['id']}",
        "results_url": f"{app.url}/v1/messages/batches/{batch['id']}/results",
        "extra_fields": extra_fields("batch_retrieve", batch, "anthropic", model_requested="simulated"),
    }
    assert await result_lines(app, batch["id"], "anthropic") == await app.results(batch["id"])
    assert [line["result"]["type"] for line in await app.results(batch["id"])] == ["succeeded", "errored"]
    async with app.client.get(batch["results_url"]) as response:
        assert response.status == 200


async def test_bodies_for_messages_make_the_same_batch_as_params(app: RunningApp) -> None:
    rows = [{"custom_id": "a", "url": "/v1/messages", "body": messages()}]
    by_url = await create(app, requests=rows)
    by_endpoint = await create(app, endpoint="/v1/messages", requests=[{"custom_id": "a", "body": messages()}])
    for batch in (by_url, by_endpoint):
        assert (await wait_for_final_status(app, batch["id"]))["status"] == "ended"
        assert [line["result"]["type"] for line in await app.results(batch["id"])] == ["succeeded"]


async def test_a_batch_of_a_file_is_validated_and_run(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a"), chat_line("b", 5)))
    created = await create(app, model="simulated", query="?provider=openai", input_file_id=file_id)
    assert (created["status"], created["input_file_id"]) == ("validating", file_id)
    assert created["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    batch = await wait_for_final_status(app, created["id"])
    assert (batch["status"], batch["request_counts"]["total"]) == ("completed", 2)
    assert [line["custom_id"] for line in await result_lines(app, batch["id"])] == ["a", "b"]


async def test_a_batch_of_an_invalid_file_lists_the_error_of_each_line(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a"), chat_line("a")) + b"{\n")
    batch = await wait_for_final_status(app, (await create(app, input_file_id=file_id, endpoint=CHAT))["id"])
    assert (batch["status"], batch["failed_at"]) == ("failed", NOW)
    faults = [(fault["line"], fault["code"]) for fault in batch["errors"]["data"]]
    assert faults == [(2, "duplicate_custom_id"), (3, "invalid_json_line")]


@pytest.mark.parametrize("rows", [chat_rows, message_rows])
async def test_a_client_that_accepts_json_receives_all_results_as_one_object(app: RunningApp, rows: Any) -> None:
    requests = [*rows("a", "b"), *rows("c", content=5)]
    batch = await wait_for_final_status(app, (await create(app, requests=requests))["id"])
    lines = await result_lines(app, batch["id"])
    media_type, body = await results(app, batch["id"], Accept="application/json")
    assert media_type == "application/json"
    msgspec.json.decode(body, type=UnifiedBatchResults)
    answer = json.loads(body)
    assert answer == {
        "batch_id": batch["id"],
        "results": [without_nulls(line, "id") for line in lines],
        "has_more": False,
        "extra_fields": extra_fields("batch_results", answer, model_requested="simulated"),
    }


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/x-jsonl"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/x-jsonl, application/json", "application/x-jsonl"),
        ("application/x-jsonl;q=0.5, application/json;q=0.9", "application/json"),
        ("application/json;q=0", "application/x-jsonl"),
    ],
)
async def test_the_accept_header_chooses_between_lines_and_json(app: RunningApp, accept: str, media_type: str) -> None:
    batch = await wait_for_final_status(app, (await create(app, requests=chat_rows("a")))["id"])
    assert (await results(app, batch["id"], Accept=accept))[0] == media_type


async def test_many_results_are_returned_as_one_object_plain_or_compressed(app: RunningApp) -> None:
    names = [f"r{number}" for number in range(3000)]
    created = await create(app, requests=[*chat_rows(*names[:1], content="x" * 2**20), *chat_rows(*names[1:])])
    await wait_for_final_status(app, created["id"])
    for encoding in ("identity", "gzip"):
        _, body = await results(app, created["id"], Accept="application/json", **{"Accept-Encoding": encoding})
        assert [row["custom_id"] for row in json.loads(body)["results"]] == names


async def test_a_canceled_batch_has_the_status_of_its_dialect(app: RunningApp) -> None:
    chat = await create(app, model="openai/slow", requests=chat_rows("a"))
    of_messages = await create(app, model="openai/slow", requests=message_rows("a"))
    for created, status in ((chat, "canceled"), (of_messages, "ended")):
        path = f"{BATCHES}/{created['id']}/cancel?provider=openai"
        code, batch = await app.call("POST", path)
        assert (code, batch["cancelling_at"], batch["extra_fields"]["request_type"]) == (200, NOW, "batch_cancel")
        assert batch["status"] in ("cancelling", status)
    assert (await app.call("POST", f"{BATCHES}/{chat['id']}/cancel?provider=openai"))[0] == 200


async def test_a_batch_is_listed_for_every_provider_that_its_requests_name(app: RunningApp) -> None:
    rows = [{"custom_id": "a", "body": messages(model="anthropic/simulated")}, *chat_rows("b")]
    batch = await create(app, requests=rows)
    for provider in ("openai", "anthropic"):
        status, page = await app.call("GET", f"{BATCHES}?provider={provider}")
        assert (status, [found["id"] for found in page["data"]]) == (200, [batch["id"]])
    status, page = await app.call("GET", f"{BATCHES}?provider=azure")
    assert (status, page) == (
        200,
        {"object": "list", "data": [], "has_more": False, "extra_fields": extra_fields("batch_list", page, "azure")},
    )
    assert (await app.call("GET", f"{BATCHES}/{batch['id']}?provider=azure"))[0] == 404


async def test_a_client_can_page_in_both_directions(app: RunningApp) -> None:
    ids = [(await create(app, requests=chat_rows("a")))["id"] for _ in range(5)][::-1]
    for limit in (1, 2, 3, 5, 99999999999):
        assert await walk_pages(app, limit, "after") == ids
        assert await walk_pages(app, limit, "before", start=ids[-1]) == ids[:-1][::-1]
    _, between = await app.call("GET", f"{BATCHES}?provider=openai&after={ids[0]}&before={ids[4]}&limit=2")
    assert [found["id"] for found in between["data"]] == ids[1:3]
    assert between["next_cursor"] == ids[2]


async def walk_pages(app: RunningApp, limit: int, direction: str, start: str | None = None) -> list[str]:
    """Follow next_cursor to the last page, and return all ids."""
    found: list[str] = []
    cursor = start
    while True:
        query = f"?provider=openai&limit={limit}" + (f"&{direction}={cursor}" if cursor else "")
        status, page = await app.call("GET", BATCHES + query)
        assert status == 200, page
        msgspec.convert(page, UnifiedBatchList)
        ids = [batch["id"] for batch in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
        found += ids if direction == "after" else ids[::-1]
        if not page["has_more"]:
            assert "next_cursor" not in page
            return found
        cursor = page["next_cursor"]


@pytest.mark.parametrize(
    ("options", "model", "provider", "requested"),
    [
        pytest.param({"params": {"provider": "anthropic"}}, "simulated", "anthropic", "simulated", id="query"),
        pytest.param(
            {"headers": {"x-model-provider": "anthropic"}}, "simulated", "anthropic", "simulated", id="header"
        ),
        pytest.param({}, "anthropic/simulated", "anthropic", "simulated", id="model"),
        pytest.param({"params": {"provider": "openai"}}, "openai/simulated", "openai", "simulated", id="both"),
        pytest.param({"params": {"provider": "openai"}}, "meta/llama", "openai", "meta/llama", id="slash of the model"),
        pytest.param({"params": {"provider": "openai"}}, None, "openai", None, id="no model"),
    ],
)
async def test_the_provider_of_a_create_may_be_named_in_three_places(
    app: RunningApp, options: dict[str, Any], model: str | None, provider: str, requested: str | None
) -> None:
    body = {"requests": chat_rows("a")} | ({} if model is None else {"model": model})
    status, batch = await app.call("POST", BATCHES, json=body, **options)
    assert status == 200, batch
    assert batch["extra_fields"]["provider"] == provider
    assert batch["extra_fields"].get("model_requested") == requested
    assert (await retrieve(app, batch["id"], provider))["id"] == batch["id"]


async def test_a_batch_runs_on_the_first_account_of_its_provider_unless_an_account_has_that_name(
    tmp_path: Path,
) -> None:
    async with running_app(tmp_path, accounts={"eu": simulator(), "us": simulator()}) as app:
        for prefix in ("simulator", "us"):
            batch = await create(app, model=f"{prefix}/simulated", requests=chat_rows("a"))
            found = await app.call("GET", f"{OPENAI_BATCHES}?provider={'eu' if prefix == 'simulator' else 'us'}")
            assert [one["id"] for one in found[1]["data"]] == [batch["id"]]


@pytest.mark.parametrize("last", ["requests", "model"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_body_may_be_compressed_and_sent_in_pieces(app: RunningApp, encoding: str | None, last: str) -> None:
    fields: dict[str, Any] = {"requests": chat_rows(*(f"r{n}" for n in range(2000))), "model": "openai/simulated"}
    fields = {name: fields[name] for name in sorted(fields, key=lambda name: name == last)}
    body = json.dumps(fields).encode()
    headers = JSON | ({"Content-Encoding": encoding} if encoding else {})
    sent = gzip.compress(body) if encoding else body

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), 5000):
            yield sent[start : start + 5000]

    for data in (pieces(), BytesIO(sent)):
        status, batch = await app.call("POST", BATCHES, data=data, headers=headers)
        assert (status, batch.get("request_counts", {}).get("total")) == (200, 2000), batch


async def test_a_repeated_create_returns_the_same_batch(app: RunningApp) -> None:
    key = {"Idempotency-Key": "mine"}
    body = {"requests": chat_rows("a"), "model": "openai/simulated"}
    first, second = [(await app.call("POST", BATCHES, json=body, headers=key))[1] for _ in range(2)]
    assert first["id"] == second["id"]
    status, error = await app.call("POST", BATCHES, json=body | {"metadata": {"a": "b"}}, headers=key)
    assert (status, error["status_code"]) == (422, 422)


async def test_a_batch_can_be_read_on_every_surface(app: RunningApp) -> None:
    batch = await wait_for_final_status(app, (await create(app, requests=chat_rows("a")))["id"])
    assert (await app.call("GET", f"{OPENAI_BATCHES}/{batch['id']}"))[1]["status"] == "completed"
    assert (await app.call("GET", f"{MESSAGE_BATCHES}/{batch['id']}"))[1]["processing_status"] == "ended"
    theirs = await app.ended((await app.create("a"))["id"])
    seen = await retrieve(app, theirs["id"], "anthropic")
    assert (seen["status"], seen["endpoint"]) == ("ended", "/v1/messages")
    msgspec.convert(seen, UnifiedBatch)


async def test_a_batch_belongs_to_the_workspace_of_its_key(tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("mine", "other")}
    async with running_app(tmp_path, accounts={"openai": simulator()}, api_keys=keys) as app:
        mine, other = {"Authorization": "Bearer sk-mine"}, {"x-bf-vk": "sk-other"}
        body = {"requests": chat_rows("a"), "model": "openai/simulated"}
        batch = (await app.call("POST", BATCHES, json=body, headers=mine))[1]
        for method, what in (("GET", ""), ("POST", "/cancel"), ("GET", "/results")):
            path = f"{BATCHES}/{batch['id']}{what}?provider=openai"
            assert (await app.call(method, path, headers=other))[0] == 404
        assert (await app.call("GET", f"{BATCHES}?provider=openai", headers=other))[1]["data"] == []
