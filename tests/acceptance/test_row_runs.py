"""`run` asks a model about each row of an iterable, sync and async, against a live gateway."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from batchgate_client import AuthenticatedClient
from batchgate_client.api.batch_progress import list_all_batches
from batchgate_client.models import BatchSummaryList
from batchgate_streams import GatewayRefused, UnusableRow, WaitTimedOut, aio, run
from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

Run: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture(params=["sync", "async"])
def run_rows(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Run:
    def client() -> AuthenticatedClient:
        return AuthenticatedClient(base_url=gateway.url, token=API_KEY)

    async def collect(rows: Any, options: dict[str, Any]) -> list[dict[str, Any]]:
        async with client() as opened, aclosing(aio.run(opened, rows, **options)) as found:
            return [row async for row in found]

    def call(rows: Any, **options: Any) -> list[dict[str, Any]]:
        options = {"model": "simulated"} | options
        if request.param == "async":
            return asyncio.run(collect(rows, options))
        with client() as opened:
            return list(run(opened, rows, **options))

    return call


def batches_called(gateway: GatewayProcess, name: str) -> int:
    with AuthenticatedClient(base_url=gateway.url, token=API_KEY) as client:
        page = list_all_batches.sync(client=client, name=name)
    assert isinstance(page, BatchSummaryList)
    return len(page.data)


def test_rows_come_back_in_their_order_with_the_columns_of_their_answers(run_rows: Run) -> None:
    moment = datetime(2026, 11, 30, tzinfo=UTC)
    rows = [
        {"n": 1, "value": "é {x}"},
        {"n": 2, "value": moment},
        {"n": 3, "value": [None, 1]},
        {"n": 4, "value": None},
    ]
    found = run_rows(iter(rows), prompt="{{{value}}} {n}", system="You are number {n}", fields={"max_tokens": 100})
    assert [{"n": row["n"], "value": row["value"]} for row in found] == rows
    texts = ["é {x}", "2026-11-30T00:00:00+00:00", "[null, 1]", ""]
    assert [row["answer"] for row in found] == [f"You said: {{{text}}} {n}" for n, text in enumerate(texts, 1)]
    assert list(found[0]) == [
        "n",
        "value",
        "answer",
        "error",
        "finish_reason",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    ]
    assert (found[0]["error"], found[0]["finish_reason"], found[0]["output_tokens"] > 0) == (None, "stop", True)


def test_a_row_that_fails_has_an_error_and_the_others_have_answers(run_rows: Run) -> None:
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "additionalProperties": False}
    [failed] = run_rows([{"x": 1}], prompt="{x}", model="nobody/model", schema=schema, prefix="llm_")
    assert list(failed)[:4] == ["x", "llm_label", "llm_answer", "llm_error"]
    assert (failed["llm_answer"], failed["llm_label"]) == (None, None)
    assert "no account is called 'nobody'" in failed["llm_error"]
    [odd] = run_rows([{"x": 1}], prompt="{x}", schema=schema)
    assert (odd["answer"], odd["label"]) == ("You said: 1", None)
    assert odd["error"].startswith("the answer is not JSON")


def test_with_the_same_key_and_rows_the_batch_is_made_once(
    run_rows: Run, gateway: GatewayProcess, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    options: dict[str, Any] = {"prompt": "{x}", "name": name, "idempotency_key": name}
    assert run_rows([{"x": 1}], **options) == run_rows([{"x": 1}], **options)
    assert batches_called(gateway, name) == 1
    with pytest.raises(GatewayRefused, match="HTTP 422"):
        run_rows([{"x": 2}], **options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"txt": "b"}, r"row 1: \{text\}: there is no column 'text'; perhaps 'txt'; the columns are txt"),
        ({"text": "b", "answer": "c"}, r"row 1: it has a column 'answer' already.*prefix="),
    ],
)
def test_a_row_that_cannot_be_a_request_is_named_and_no_batch_is_made(
    run_rows: Run, gateway: GatewayProcess, row: dict[str, str], message: str
) -> None:
    name = f"unusable {'answer' in row}"
    with pytest.raises(UnusableRow, match=message):
        run_rows([{"text": "a"}, row], prompt="{text}", name=name)
    assert batches_called(gateway, name) == 0


def test_bad_templates_and_schemas_are_refused_before_anything_is_sent(run_rows: Run) -> None:
    with pytest.raises(ValueError, match=r"the \{ at character 3 of the template has no counterpart"):
        run_rows([{"x": 1}], prompt="a {x")
    with pytest.raises(ValueError, match='"type": "object"'):
        run_rows([{"x": 1}], prompt="{x}", schema={"type": "string"})
    with pytest.raises(ValueError, match="must not be called answer"):
        run_rows([{"x": 1}], prompt="{x}", schema={"type": "object", "properties": {"answer": {}}})


def test_a_run_that_takes_too_long_is_given_up(run_rows: Run) -> None:
    with pytest.raises(WaitTimedOut):
        run_rows([{"x": 1}], prompt="{x}", model="slow", timeout=0.2)


def test_a_run_needs_little_memory(gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgate_streams.row_runs.IN_MEMORY", 1024)
    rows: Iterator[dict[str, str]] = ({"text": f"{number} " * 10_000} for number in range(500))
    with AuthenticatedClient(base_url=gateway.url, token=API_KEY) as client:
        tracemalloc.start()
        try:
            found = run(client, rows, prompt="{text}", model="simulated", fields={"max_tokens": 1}, progress=None)
            count = sum(row["answer"] == "You " and row["text"] != "" for row in found)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert count == 500
    assert peak < 5 * 1024 * 1024  # the rows have 20 MB
