"""How the simulated batch APIs differ from each other, and what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from batchgate.providers.simulator.batches.clock import SimulatedClock
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.raw_batches import CHAT, RawBatches, chat_line, jsonl
from tests.support.running_app import MovableClock
from tests.support.simulated_batches import DAY, SimulatedProviders, simulated_providers

END: Final = 60.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


async def failed(api: RawBatches, content: bytes, **options: Any) -> list[tuple[str, str | None, int | None]]:
    """Run a batch on an input file until it has failed, and return code, param and line of its errors."""
    status, batch = await api.try_create(await api.upload(content), **options)
    assert status == 200, batch
    batch = await api.after(END, batch)
    assert batch["status"] == "failed"
    return [(error["code"], error["param"], error["line"]) for error in batch["errors"]["data"]]


# Validation


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ("{", ("invalid_json_line", None, 2)),
        (chat_line("a"), ("duplicate_custom_id", "custom_id", 2)),
        (chat_line(7), ("missing_required_parameter", "custom_id", 2)),
        (chat_line("b", body={"model": "other"}), ("mismatched_model", "body.model", 2)),
        (chat_line("b", body={}), ("invalid_request", "body.model", 2)),
        (chat_line("b", body={"model": "sim-1", "stream": True}), ("streaming_unsupported", "body.stream", 2)),
        (chat_line("b", url="/v1/responses"), ("invalid_url", "url", 2)),
    ],
)
async def test_openai_names_the_first_bad_line_only(
    providers: SimulatedProviders, second: Any, error: tuple[str, str | None, int]
) -> None:
    line = second.encode() if isinstance(second, str) else jsonl([second])
    content = jsonl([chat_line("a")]) + b"\n" + line + b"\nnot JSON either\n"
    assert await failed(RawBatches(providers), content) == [error]


async def test_a_batch_fails_without_an_input_file_or_with_a_model_that_does_not_exist(
    providers: SimulatedProviders,
) -> None:
    api = RawBatches(providers)
    _, batch = await api.try_create("file-unknown")
    batch = await api.after(END, batch)
    assert batch["errors"]["data"][0]["param"] == "file_id"
    await providers.configure(models=["sim-2"])
    assert await failed(api, jsonl([chat_line("a")])) == [("model_not_found", "body.model", 1)]
    assert await failed(api, b"") == [("empty_file", None, None)]


async def test_deepinfra_counts_lines_from_0_and_names_every_bad_one(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "deepinfra/v1")
    content = b"{\n" + jsonl([chat_line("a"), chat_line("a", url=7)]) + b"\n["
    assert await failed(api, content) == [
        ("invalid_json", None, 0),
        ("duplicate_custom_id", "custom_id", 2),
        ("invalid_json", None, 3),
    ]


async def test_parasail_names_the_line_of_the_first_row_with_the_same_id(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "parasail/v1")
    _, batch = await api.try_create(await api.upload(jsonl([chat_line("a"), chat_line("a")])))
    batch = await api.after(END, batch)
    assert batch["errors"]["data"][0]["message"] == "Duplicate custom_id, first appeared on line 1"
    assert batch["expires_at"] is None
    content = jsonl([chat_line("a", url="/v1/responses")])
    assert (await failed(api, content, endpoint="/v1/responses"))[0][0] == "invalid_url"


async def test_groq_runs_the_good_lines_of_a_file_with_bad_ones(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "groq/openai/v1")
    other_model = chat_line("b", body={"model": "other", "messages": []})
    _, batch = await api.try_create(await api.upload(jsonl([chat_line("a"), other_model]) + b"\n{"))
    batch = await api.after(END, batch)
    assert batch["status"] == "completed"
    assert await api.result_ids(batch) == (["a", "b"], [None])


# Limits


async def test_a_batch_over_the_enqueued_tokens_fails_until_others_end(providers: SimulatedProviders) -> None:
    api = RawBatches(providers)
    await providers.configure(enqueued_tokens=50)
    first = await api.create("a")
    second = await api.after(6, await api.create("b"))
    error = second["errors"]["data"][0]
    assert (second["status"], error["code"]) == ("failed", "token_limit_exceeded")
    assert error["message"].startswith("Enqueued token limit reached for sim-1 in organization org-")
    assert "Limit: 50 enqueued tokens." in error["message"]
    await api.after(END, first)
    status, third = await api.try_create(second["input_file_id"])
    assert status == 200
    assert (await api.after(END, third))["status"] == "completed"


async def test_rows_bytes_and_names_of_files_are_limited(providers: SimulatedProviders) -> None:
    api = RawBatches(providers)
    await providers.configure(max_rows=1, max_bytes=400)
    assert (await failed(api, jsonl([chat_line("a"), chat_line("b")])))[0][0] == "too_many_tasks"
    status, answer = await api.try_upload(b"x" * 401)
    assert (status, answer["error"]["message"]) == (400, "File is too large.")
    status, answer = await api.try_upload(b"{}", "rows.json")
    assert (status, answer["error"]["message"]) == (400, "Invalid file format for Batch API. Must be .jsonl")


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {str(number): "" for number in range(17)}},
        {"metadata": {"k" * 65: ""}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {"k": 1}},
        {"endpoint": "/v1/audio"},
        {"completion_window": "48h"},
        {"completion_window": None},
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
    ],
)
async def test_a_create_with_a_wrong_field_is_refused(providers: SimulatedProviders, options: Any) -> None:
    status, answer = await RawBatches(providers).try_create("file-x", **options)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert await providers.jobs() == []


async def test_files_expire_after_30_days_or_when_asked(providers: SimulatedProviders) -> None:
    api = RawBatches(providers)
    batch = await api.create("a", output_expires_after={"anchor": "created_at", "seconds": 3600})
    batch = await api.after(END, batch)
    assert len(await api.lines(batch["output_file_id"])) == 1
    await providers.advance(3600)
    assert (await api.call("GET", f"/files/{batch['output_file_id']}/content"))[0] == 404
    assert (await api.call("GET", f"/files/{batch['input_file_id']}"))[0] == 200
    await providers.advance(30 * DAY)
    assert (await api.call("GET", f"/files/{batch['input_file_id']}"))[0] == 404


async def test_another_key_finds_neither_job_nor_file(providers: SimulatedProviders) -> None:
    batch = await RawBatches(providers).create("a")
    other = RawBatches(providers, key="other")
    assert (await other.call("GET", f"/batches/{batch['id']}"))[0] == 404
    assert (await other.call("GET", f"/files/{batch['input_file_id']}"))[0] == 404
    assert (await other.call("GET", "/batches"))[1]["data"] == []


@pytest.mark.parametrize(
    ("base", "answer"),
    [
        (
            "openai/v1",
            {
                "error": {
                    "message": "Incorrect API key provided.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_api_key",
                }
            },
        ),
        ("parasail/v1", "Unauthorized"),
        ("deepinfra/v1", {"detail": "Incorrect API key provided."}),
    ],
)
async def test_a_wrong_key_is_refused_in_the_form_of_the_provider(base: str, answer: object) -> None:
    async with simulated_providers(SimulatorSettings(latency=0, require_key="right")) as providers:
        assert await RawBatches(providers, base).call("GET", "/batches") == (401, answer)
        right = RawBatches(providers, base, "right")
        batch = await right.after(END, await right.create("a"))
        assert await right.result_ids(batch) == (["a"], [])


# Differences of providers


async def test_perplexity_answers_a_repeated_idempotency_key_with_the_first_batch(
    providers: SimulatedProviders,
) -> None:
    api = RawBatches(providers, "perplexity/v1")
    options: Any = {"endpoint": "/v1/responses", "headers": {"idempotency-key": "one"}}
    first = await api.try_create("file-x", **options)
    assert await api.try_create("file-x", **options) == first
    assert len(await providers.jobs()) == 1
    assert (await api.try_create("file-x", endpoint=CHAT))[0] == 400


async def test_deepinfra_has_its_own_shapes(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "deepinfra/v1/openai")
    assert await api.try_create("file_x") == (404, {"detail": {"error": "file not found"}})
    content = jsonl([chat_line("a", url=7), chat_line("b", content=1)])  # urls are not read
    _, batch = await api.try_create(await api.upload(content))
    assert (batch["request_counts"], batch["usage"], batch["model"]) == (None, None, None)
    batch = await api.after(END, batch)
    assert batch["output_file_id"] == f"{batch['id']}_output"
    (good,) = await api.lines(batch["output_file_id"])
    (bad,) = await api.lines(batch["error_file_id"])
    assert good["response"]["endpoint"] == CHAT
    assert (bad["id"], bad["response"]) == (f"batch_req_{batch['id']}_000001", None)
    assert (bad["error"]["code"], bad["error"]["type"]) == ("400", None)
    status, _ = await api.call("POST", f"/batches/{batch['id']}/cancel")
    assert status == 400
    assert (await api.call("DELETE", f"/batches/{batch['id']}"))[0] == 405
    assert (await api.try_create("file_x", endpoint="/v1/responses"))[0] == 422
    streaming = chat_line("a", body={"model": "sim-1", "messages": [], "stream": True})
    _, batch = await api.try_create(await api.upload(jsonl([streaming])))
    batch = await api.after(END, batch)
    assert [line["error"]["code"] for line in await api.lines(batch["error_file_id"])] == ["500"]


async def test_deepinfra_completes_a_batch_that_was_cancelled_while_it_ran(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "deepinfra/v1")
    batch = await api.after(20, await api.create("a", "b"))
    await api.call("POST", f"/batches/{batch['id']}/cancel")
    batch = await api.after(END, batch)
    assert (batch["status"], batch["cancelled_at"]) == ("completed", None)
    assert {*(await api.result_ids(batch))[0]} == {"a", "b"}
    early = await api.create("a")
    await api.call("POST", f"/batches/{early['id']}/cancel")
    early = await api.after(END, early)
    assert (early["status"], early["output_file_id"], early["error_file_id"]) == ("cancelled", None, None)


async def test_parasail_redirects_to_the_content_and_deletes_unknown_files(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "parasail/v1")
    batch = await api.after(END, await api.create("a"))
    path = f"/files/{batch['output_file_id']}/content"
    assert (await api.call("GET", path, allow_redirects=False))[0] == 302
    assert len(await api.lines(batch["output_file_id"])) == 1
    assert (await api.call("DELETE", "/files/never"))[1]["deleted"] is True
    assert (await api.call("DELETE", f"/batches/{batch['id']}"))[0] == 403


async def test_azure_needs_a_version_on_classic_paths_and_refuses_pending_files(providers: SimulatedProviders) -> None:
    classic, newer = RawBatches(providers, "azure/openai"), RawBatches(providers, "azure/openai/v1")
    assert (await classic.call("GET", "/files"))[0] == 404
    assert (await classic.call("GET", "/files?api-version=2025-04-01"))[0] == 200
    file_id = await newer.upload(jsonl([chat_line("a", url="/chat/completions")]))
    assert (await newer.try_create(file_id))[0] == 400
    await providers.advance(2)
    status, batch = await newer.try_create(file_id, endpoint="/chat/completions")
    assert (status, batch["endpoint"]) == (200, "/chat/completions")
    assert (await newer.after(END, batch))["status"] == "completed"


async def test_a_batch_of_azure_does_not_expire(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "azure/openai/v1")
    await providers.configure(file_pending=0)
    await providers.play(stall_at=0.5)
    assert (await api.after(3 * DAY, await api.create("a", "b")))["status"] == "in_progress"


async def test_azure_has_at_most_500_files_without_expiry(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "azure/openai/v1")
    answers = await asyncio.gather(*(api.try_upload(b"{}") for _ in range(501)))
    refused = [answer["error"]["code"] for status, answer in answers if status == 400]
    assert refused == ["quotaExceeded"]


async def test_groq_pages_by_cursor_and_fetches_by_id(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "groq/openai/v1")
    made = [(await api.create("a"))["id"] for _ in range(3)]
    _, first = await api.call("GET", "/batches?limit=2")
    _, second = await api.call("GET", f"/batches?limit=2&cursor={first['paging']['next_cursor']}")
    assert [batch["id"] for page in (first, second) for batch in page["data"]] == made[::-1]
    assert second["paging"]["next_cursor"] is None
    _, found = await api.call("GET", f"/batches?id={made[0]}&id={made[2]}")
    assert [batch["id"] for batch in found["data"]] == [made[2], made[0]]


# Anthropic


def request(custom_id: object = "a", **params: object) -> dict[str, Any]:
    """Return a row of a Message Batch."""
    return {"custom_id": custom_id, "params": {"model": "sim-1", "max_tokens": 8, "messages": [], **params}}


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "requests: List should have at least 1 item after validation, not 0"),
        ([{"params": {}}], "requests.0.custom_id: Field required"),
        ([request("a" * 65)], "requests.0.custom_id: String should have at most 64 characters"),
        ([request("a b")], "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"),
        (
            [request(), request()],
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: a",
        ),
    ],
)
async def test_anthropic_refuses_wrong_ids_at_create(
    providers: SimulatedProviders, requests: list[Any], message: str
) -> None:
    api = RawBatches(providers, "anthropic/v1/messages")
    status, answer = await api.call("POST", "/batches", json={"requests": requests})
    assert (status, answer["error"]) == (400, {"type": "invalid_request_error", "message": message})
    assert answer["request_id"].startswith("req_")


async def test_anthropic_refuses_what_is_not_json_or_too_large(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "anthropic/v1/messages")
    status, answer = await api.call("POST", "/batches", data=b"{")
    assert (status, answer["error"]["message"][:37]) == (400, "The request body is not valid JSON: I")
    await providers.configure(max_bytes=100)
    status, answer = await api.call("POST", "/batches", data=b" " * 101)
    assert (status, answer["error"]["type"]) == (413, "request_too_large")


async def test_params_of_anthropic_are_errors_of_rows(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "anthropic/v1/messages")
    await providers.configure(models=["sim-1"])
    rows = [request("a", model="none"), request("b", max_tokens=0), request("c", stream=True), request("d")]
    _, batch = await api.call("POST", "/batches", json={"requests": rows})
    batch = await api.after(END, batch)
    assert (batch["request_counts"]["errored"], batch["request_counts"]["succeeded"]) == (3, 1)


async def test_results_of_anthropic_exist_from_the_end_for_29_days(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "anthropic/v1/messages")
    _, batch = await api.call("POST", "/batches", json={"requests": [request()]})
    path = f"/batches/{batch['id']}"
    assert (await api.call("GET", f"{path}/results"))[0] == 404
    status, answer = await api.call("DELETE", path)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    batch = await api.after(END, batch)
    assert batch["results_url"] == f"{providers.url}/anthropic/v1/messages{path}/results"
    batch = await api.after(29 * DAY, batch)
    assert batch["results_url"] is None
    assert batch["archived_at"] is not None
    assert (await api.call("GET", f"{path}/results"))[0] == 404


# The clock


def test_the_clock_runs_as_fast_as_it_is_told_and_can_be_moved() -> None:
    source = MovableClock()
    clock = SimulatedClock(source, speed=10)
    start = clock.now()
    source.move(2)
    assert clock.now() - start == 20
    clock.advance(100)
    clock.set_speed(1)
    source.move(3)
    assert clock.now() - start == 123
    source.jump(1000)  # someone sets the wall clock
    assert clock.now() - start == 123


@pytest.mark.parametrize("body", [{"advance": -1}, {"speed": 0}, {"back": 1}])
async def test_a_wrong_change_of_the_clock_is_refused(providers: SimulatedProviders, body: object) -> None:
    async with providers.http.post(f"{providers.url}/simulator/clock", json=body) as response:
        assert response.status == 400
