"""A batch is checked and estimated before it is created: all of its errors, its lanes, its tokens and its cost."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings, PriceSettings
from tests.support.blob_storage import BlobStorage
from tests.support.full_disk import FILE_TOO_LARGE, full_disk
from tests.support.http_server import http_server
from tests.support.openai_batches import CHAT, jsonl, upload_lines
from tests.support.postgres_server import fresh_database
from tests.support.running_app import RunningApp, running_app

VALIDATE: Final = "/api/batches/validate"
PRICES: Final = {"*": PriceSettings(input=1.0, output=2.0)}
TEXT: Final = "How do I change the address of an order that was sent yesterday?"


def row(custom_id: str, *, model: str = "m", content: Any = TEXT, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **fields}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [row(f"r{number}", **fields) for number in range(count)]


class Provider:
    """A provider that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, _request: web.Request) -> web.Response:
        """Answer a call with ten tokens."""
        self.calls += 1
        message = {"role": "assistant", "content": "Yes."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
            | {
                "choices": [choice],
                "usage": usage,
            }
        )


@asynccontextmanager
async def gateway(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[RunningApp, Provider]]:
    """Run a gateway with three accounts: with prices and a batch API (the default), with prices, with neither."""
    provider = Provider()
    async with http_server(provider.answer, "/chat/completions") as url:
        # The account openai is never called, since its URL is that of OpenAI; others have no batch API.
        accounts = {
            "openai": AccountSettings(provider="openai", api_key="k", prices=PRICES, native_min_requests=5),
            "served": AccountSettings(provider="openai", base_url=url, api_key="k", prices=PRICES),
            "plain": AccountSettings(provider="vllm", base_url=url, api_key="k"),
        }
        async with running_app(tmp_path, accounts=accounts, default_provider="openai", **settings) as app:
            yield app, provider


async def validate(app: RunningApp, status: int = 200, **body: Any) -> dict[str, Any]:
    data, headers = BytesIO(msgspec.json.encode(body)), {"Content-Type": "application/json"}
    found, estimate = await app.call("POST", VALIDATE, data=data, headers=headers)
    assert found == status, estimate
    assert isinstance(estimate, dict)
    return estimate


async def test_every_bad_request_is_listed_and_the_others_are_estimated(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, provider):
        requests = [
            row("a"),
            row("a"),
            row("b", model="nobody/m"),
            row("c", stream=True),
            {"custom_id": "d", "url": "/v1/embeddings", "body": {}},
            {"custom_id": 5},
            {"url": CHAT, "body": {}},
            row("e", model="plain/m"),
        ]
        estimate = await validate(app, requests=requests)
        assert (estimate["requests"], estimate["error_count"]) == (8, 6)
        errors = estimate["errors"]
        assert [(e["index"], e["line"], e["custom_id"], e["param"], e["code"]) for e in errors] == [
            (1, None, "a", "custom_id", "duplicate_custom_id"),
            (2, None, "b", None, "not_found_error"),
            (3, None, "c", "body.stream", "invalid_request"),
            (4, None, "d", "url", "url_mismatch"),
            (5, None, None, "custom_id", "invalid_request"),
            (6, None, None, "custom_id", "missing_required_parameter"),
        ]
        assert "no account is called 'nobody'" in errors[1]["message"]
        assert [(m["account"], m["model"], m["requests"]) for m in estimate["models"]] == [
            ("openai", "m", 1),
            ("plain", "m", 1),
        ]
        _, page = await app.call("GET", "/api/batches")
        assert (page["data"], provider.calls) == ([], 0)
        assert BlobStorage.names(tmp_path) == []


async def test_every_bad_line_of_a_file_is_listed_and_those_behind_it_are_estimated(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        lines = [row("a"), row("a"), row("b", model="nobody/m"), row("c") | {"method": "GET"}, row("d")]
        content = jsonl(*lines[:2]) + b"\n{not json}\n" + jsonl(*lines[2:])
        file_id = await upload_lines(app, content)
        estimate = await validate(app, input_file_id=file_id)
        assert [(e["index"], e["line"], e["custom_id"], e["code"]) for e in estimate["errors"]] == [
            (None, 2, "a", "duplicate_custom_id"),
            (None, 4, None, "invalid_json_line"),
            (None, 5, "b", "not_found_error"),
            (None, 6, "c", "invalid_request"),
        ]
        assert (estimate["requests"], estimate["error_count"]) == (6, 4)
        assert estimate["models"][0]["requests"] == 2
        _, files = await app.call("GET", "/openai/v1/files")
        assert [file["id"] for file in files["data"]] == [file_id]
        empty = await upload_lines(app, b"\n")
        estimate = await validate(app, input_file_id=empty)
        assert [(e["line"], e["code"]) for e in estimate["errors"]] == [(None, "empty_file")]
        assert (estimate["requests"], estimate["models"]) == (0, [])


async def test_a_hundred_errors_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        requests = [row(f"r{number}", model="nobody/m" if number % 2 else "m") for number in range(400)]
        requests[1::4] = [row("same", stream=True) for _ in requests[1::4]]
        estimate = await validate(app, requests=requests)
        assert (estimate["requests"], estimate["error_count"], len(estimate["errors"])) == (400, 200, 100)
        assert [error["index"] for error in estimate["errors"]] == list(range(1, 200, 2))
        long = await validate(app, requests=[row("x" * 100_000, model="nobody/m")])
        assert len(long["errors"][0]["custom_id"]) == 500


async def test_the_estimate_says_which_lane_each_request_takes_and_what_no_job_takes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        refused = {"model": "m", "input": "Hello", "max_output_tokens": 10, "previous_response_id": "resp_1"}
        taken = {"model": "m", "input": "Hello", "max_output_tokens": 10}
        requests = [{"custom_id": f"r{n}", "body": taken if n < 6 else refused} for n in range(8)]
        body: dict[str, Any] = {"endpoint": "/v1/responses", "requests": requests}
        estimate = await validate(app, **body)
        assert [(p["lane"], p["code"], p["requests"]) for p in estimate["lanes"]] == [
            ("native", "cheaper", 6),
            ("direct", "not_accepted", 2),
        ]
        assert [(p["lane"], p["code"], p["requests"]) for p in estimate["not_native"]] == [("none", "not_accepted", 2)]
        direct, native = estimate["direct"]["max_usd"], estimate["native"]["max_usd"]
        assert native == pytest.approx(direct * (6 / 2 + 2) / 8, rel=0.01)
        assert estimate["native_seconds"] == 24 * 3600
        as_calls = await validate(app, lane="direct", **body)
        assert [(p["lane"], p["code"]) for p in as_calls["lanes"]] == [("direct", "lane_direct")]
        assert as_calls["native"] == estimate["native"]
        plain = await validate(app, model="plain/m", requests=rows(3))
        assert (plain["native"], plain["native_seconds"]) == (None, None)
        assert [(p["code"], p["requests"]) for p in plain["not_native"]] == [("no_batch_api", 3)]
        assert plain["direct"] == {"input_usd": 0.0, "expected_usd": None, "max_usd": 0.0, "unpriced": 3}


async def test_fields_may_follow_the_requests_as_in_a_create(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        bare = {"max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]}
        body = {"requests": [{"custom_id": "a", "params": bare}], "model": "plain/m", "display_name": "x"}
        options: dict[str, Any] = {
            "data": gzip.compress(msgspec.json.encode(body)),
            "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        }
        async with app.client.post(app.url + VALIDATE, **options) as response:
            assert response.status == 200
            assert "display_name" in response.headers["Warning"]
            estimate = msgspec.json.decode(await response.read())
        assert [(m["account"], m["model"]) for m in estimate["models"]] == [("plain", "m")]
        assert estimate["lanes"][0]["endpoint"] == "/v1/messages"


async def test_a_large_body_is_estimated_request_by_request(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        requests = [row("huge", content=TEXT * 40_000), *rows(1200)]
        estimate = await validate(app, requests=requests)
        assert (estimate["requests"], estimate["error_count"]) == (1201, 0)
        small = await validate(app, requests=rows(1))
        assert estimate["input_tokens"] == pytest.approx(41_200 * small["input_tokens"], rel=0.5)
        assert estimate["max_output_tokens"] == 120_100
        unbounded = await validate(app, requests=[*rows(1), row("x", max_tokens=None)])
        assert (unbounded["max_output_tokens"], unbounded["direct"]["max_usd"]) == (None, None)


async def test_a_budget_is_checked_for_the_account_that_gets_the_requests(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        estimate = await validate(app, requests=rows(1, model="served/plain/m"), budget_usd=1)
        assert [(model["account"], model["model"]) for model in estimate["models"]] == [("served", "plain/m")]


async def test_an_absurd_maximum_bounds_no_answer_and_hides_no_other_fault(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        estimate = await validate(app, requests=[row("a", max_tokens=10**400), row("b", max_tokens=10**25)])
        assert (estimate["requests"], estimate["max_output_tokens"]) == (2, None)


REFUSED: Final = {
    b'{"requests": [{]}': "not valid JSON",
    b'{"requests": []}': "at least 1 request",
    b'{"requests": [{"custom_id": "a", "params": {}}], "lane": "fast"}': "lane",
    b'{"requests": [{"custom_id": "a", "params": {}}], "unknown": 1}': "unknown",
    b'{"requests": [{"custom_id": "a", "params": {}}], "model": "nobody/m"}': "nobody",
    msgspec.json.encode({"requests": rows(1), "model": "m", "provider": "plain"}): "provider",
    msgspec.json.encode({"requests": rows(1, model="plain/m"), "budget_usd": 1}): "price",
    b'{"requests": [{"custom_id": "a", "params": {}}], "webhook": "https://127.0.0.1/x"}': "webhook",
    b'{"input_file_id": "file-unknown"}': "there is no file",
    b"{}": "input_file_id",
}
"""Bodies, and a word of the reason."""


async def test_what_a_create_refuses_whatever_its_requests_are_is_refused_alike(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        for body, word in REFUSED.items():
            for path in (VALIDATE, "/v1/batches"):
                status, answer = await app.call("POST", path, data=body, headers={"Content-Type": "application/json"})
                assert (status, word in answer["error"]["message"]) == (400, True), (body, path, answer)


async def test_a_full_temporary_folder_is_told_and_the_next_validation_works(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        with full_disk(64 * 1024):
            answer = await validate(app, status=529, requests=rows(10_000))
        assert FILE_TOO_LARGE in answer["error"]["message"]
        assert (await validate(app, requests=rows(1)))["requests"] == 1


async def test_the_duration_is_known_once_calls_were_measured(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, provider):
        served = {"model": "served/m"}
        assert (await validate(app, requests=rows(64, **served)))["direct_seconds"] is None
        _, batch = await app.call("POST", "/v1/batches", json={"requests": rows(1, **served)})
        while (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["status"] != "ended":
            pass
        assert provider.calls == 1
        one = (await validate(app, requests=rows(2000, **served)))["direct_seconds"]
        two = (await validate(app, requests=rows(4000, **served)))["direct_seconds"]
        assert 0 < one == pytest.approx(two / 2, rel=0.05)
        mixed = [*rows(1, **served), row("other", model="plain/m")]
        assert (await validate(app, requests=mixed))["direct_seconds"] is None


async def test_earlier_answers_correct_the_tokens_and_tell_the_cost(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (app, _):
        requests = rows(40, model="served/m")
        before = await validate(app, requests=requests)
        assert (before["expected_output_tokens"], before["direct"]["expected_usd"]) == (None, None)
        _, batch = await app.call("POST", "/v1/batches", json={"requests": requests})
        while (progress := (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1])["status"] != "ended":
            pass
        after = await validate(app, requests=requests)
        assert after["input_tokens"] == pytest.approx(40 * 20, rel=0.01)
        assert after["expected_output_tokens"] == 40 * 10
        assert after["direct"]["expected_usd"] == pytest.approx(progress["spent"]["direct_usd"], rel=0.1)
        longer = await validate(app, requests=rows(40, model="served/m", content=3 * TEXT, max_tokens=5))
        assert after["input_tokens"] < longer["input_tokens"] < 3 * after["input_tokens"]
        assert longer["expected_output_tokens"] == longer["max_output_tokens"] == 40 * 5
        other = await validate(app, requests=[*requests, row("other")])
        assert (other["expected_output_tokens"], other["direct"]["expected_usd"]) == (None, None)


async def test_a_gateway_without_a_worker_estimates_by_what_the_workers_have_measured(tmp_path: Path) -> None:
    with fresh_database() as url:
        shared = {"database_url": url, "worker_heartbeat_timeout": 2.0}
        async with (
            gateway(tmp_path, role="gateway", **shared) as (app, _),
            gateway(tmp_path, role="worker", clock=app.clock, **shared),
        ):
            requests = rows(40, model="served/m")
            await app.call("POST", "/v1/batches", json={"requests": requests})
            while (found := await validate(app, requests=requests))["expected_output_tokens"] is None:
                pass
            assert found["expected_output_tokens"] == 40 * 10
            assert found["input_tokens"] == pytest.approx(40 * 20, rel=0.01)
            assert found["direct_seconds"] > 0


async def test_a_key_may_read_only_so_many_files_and_bodies_at_the_same_time(tmp_path: Path) -> None:
    async with gateway(tmp_path, max_uploads_per_key=1) as (app, _):
        file_id = await upload_lines(app, jsonl(row("a")))
        waiting, begun = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b'{"requests": ['
            begun.set()
            await waiting.wait()
            yield b'{"custom_id": "a", "params": {"model": "m", "max_tokens": 5, "messages": []}}]}'

        headers = {"Content-Type": "application/json"}
        slow = asyncio.create_task(app.call("POST", VALIDATE, data=body(), headers=headers))
        await begun.wait()
        while (answer := await app.call("POST", VALIDATE, json={"input_file_id": file_id}))[0] == 200:
            pass
        assert (answer[0], "uploads open" in answer[1]["error"]["message"]) == (529, True)
        waiting.set()
        assert (await slow)[0] == 200
        assert (await validate(app, input_file_id=file_id))["requests"] == 1
