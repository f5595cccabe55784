"""Batches with the official OpenAI SDK, sync and async, against a live gateway.

The tests session runs this suite with the newest release of the SDK, the sdk session with an older release.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

CHAT: Final = "/v1/chat/completions"
NOT_TERMINAL = ("validating", "in_progress", "finalizing", "cancelling")


@pytest.fixture(params=["/openai/v1", "/openai"])
def client(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url + request.param, api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(gateway: GatewayProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/openai/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


def chat(custom_id: str, content: Any = "Hello", model: str = "simulated") -> dict[str, Any]:
    """Return a line of an input file; the simulated model refuses content that is a number."""
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def jsonl(*lines: dict[str, Any]) -> tuple[str, bytes]:
    """Return the name and the content of an input file with these lines."""
    return "requests.jsonl", "\n".join(json.dumps(line) for line in lines).encode()


def create(client: OpenAI, *lines: dict[str, Any], **options: Any) -> Batch:
    file = client.files.create(file=jsonl(*lines), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options)


def wait_until_terminal(client: OpenAI, batch: Batch) -> Batch:
    while (batch := client.batches.retrieve(batch.id)).status in NOT_TERMINAL:
        time.sleep(0.01)
    return batch


def read_lines(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_runs_from_its_file_to_its_output_and_error_files(client: OpenAI) -> None:
    created = create(client, chat("a"), chat("b", 5), metadata={"job": "nightly"})
    assert (created.object, created.status, created.endpoint) == ("batch", "validating", CHAT)
    batch = wait_until_terminal(client, created)
    assert (batch.status, batch.metadata, batch.errors) == ("completed", {"job": "nightly"}, None)
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (2, 1, 1)
    assert batch.completed_at is not None
    assert batch.created_at <= (batch.in_progress_at or 0) <= batch.completed_at <= (batch.expires_at or 0)
    (answer,) = read_lines(client, batch.output_file_id)
    assert answer["custom_id"] == "a"
    assert answer["response"]["body"]["choices"][0]["message"]["content"] == "You said: Hello"
    (refused,) = read_lines(client, batch.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("b", 400)
    assert batch.output_file_id in [file.id for file in client.files.list(purpose="batch_output")]


def test_a_batch_without_failures_has_no_error_file_and_one_without_successes_no_output_file(
    client: OpenAI,
) -> None:
    without_failures = wait_until_terminal(client, create(client, chat("a")))
    assert without_failures.output_file_id is not None
    assert without_failures.error_file_id is None
    without_successes = wait_until_terminal(client, create(client, chat("a", 5)))
    assert (without_successes.status, without_successes.output_file_id) == ("completed", None)
    assert len(read_lines(client, without_successes.error_file_id)) == 1


def test_an_invalid_input_file_fails_its_batch_with_one_error_per_invalid_line(client: OpenAI) -> None:
    batch = wait_until_terminal(client, create(client, chat("a"), chat("a"), chat("b") | {"url": "/v1/embeddings"}))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at is not None
    assert batch.errors is not None
    errors = [(error.line, error.code, error.param) for error in batch.errors.data or []]
    assert errors == [(2, "duplicate_custom_id", "custom_id"), (3, "invalid_url", "url")]


def test_a_batch_of_embeddings_completes(client: OpenAI) -> None:
    body = {"model": "simulated", "input": ["Hello", "Bye"]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    file = client.files.create(file=jsonl(line), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    (answer,) = read_lines(client, wait_until_terminal(client, batch).output_file_id)
    assert [type(entry["embedding"]) for entry in answer["response"]["body"]["data"]] == [list, list]


def test_a_cancelled_batch_keeps_its_results_and_lists_the_other_requests_as_errors(client: OpenAI) -> None:
    batch = create(client, *(chat(str(n), str(n), "slow") for n in range(200)))
    while client.batches.retrieve(batch.id).status == "validating":
        time.sleep(0.01)
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status == "cancelling"
    assert cancelled.cancelling_at is not None
    batch = wait_until_terminal(client, batch)
    assert (batch.status, batch.completed_at) == ("cancelled", None)
    assert batch.cancelled_at is not None
    assert batch.request_counts is not None
    not_run = read_lines(client, batch.error_file_id)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (200 - len(not_run), len(not_run))
    assert {line["error"]["code"] for line in not_run} == {"batch_cancelled"}
    assert client.batches.cancel(batch.id) == batch


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_auto_paging_returns_every_batch_once(client: OpenAI, limit: int) -> None:
    ids = [create(client, chat("a")).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=limit)][:5] == ids[::-1]
    assert [batch.id for batch in client.batches.list(limit=limit, after=ids[3])][:3] == ids[2::-1]


def test_a_create_selects_the_account_and_the_lifetime_of_the_output_file(client: OpenAI) -> None:
    kept = {"anchor": "created_at", "seconds": 3600}
    batch = wait_until_terminal(
        client, create(client, chat("a"), extra_body={"provider": "anthropic", "output_expires_after": kept})
    )
    assert batch.output_file_id is not None
    output = client.files.retrieve(batch.output_file_id)
    assert output.expires_at is not None
    assert output.expires_at - output.created_at == 3600
    listed = client.batches.list(extra_query={"provider": "anthropic"})
    assert batch.id in [found.id for found in listed]


@pytest.mark.parametrize("field", ["params", "body"])
def test_requests_may_be_in_the_body_instead_of_a_file(client: OpenAI, field: str) -> None:
    """Other gateways document these calls: with `params` for Anthropic."""
    messages = {"model": "simulated", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}
    requests = [{"custom_id": custom_id, field: messages} for custom_id in ("a", "b")]
    extras = {"provider": "anthropic", "requests": requests, "output_s3_uri": "s3://bucket/folder"}
    raw = client.batches.with_raw_response.create(
        input_file_id="", endpoint=CHAT, completion_window="24h", extra_body=extras
    )
    assert "ignored: output_s3_uri;" in raw.headers["Warning"]
    batch = wait_until_terminal(client, raw.parse())
    assert (batch.status, batch.endpoint) == ("completed", CHAT)
    assert [line["custom_id"] for line in read_lines(client, batch.output_file_id)] == ["a", "b"]
    assert [line["custom_id"] for line in read_lines(client, batch.input_file_id)] == ["a", "b"]


def test_a_batch_has_the_window_and_the_model_that_the_caller_asks_for(client: OpenAI) -> None:
    file = client.files.create(file=jsonl(chat("a")), purpose="batch")
    window: Any = "7d"
    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window=window, extra_body={"model": "simulated"}
    )
    assert (batch.completion_window, batch.model) == ("7d", "simulated")
    assert batch.expires_at is not None
    assert batch.expires_at - batch.created_at == 7 * 24 * 3600
    assert wait_until_terminal(client, batch).status == "completed"


def test_the_sdk_raises_its_typed_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no batch 'batch_nobody'") as missing:
        client.batches.retrieve("batch_nobody")
    assert (missing.value.type, missing.value.param, missing.value.code) == ("invalid_request_error", "id", None)
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("batch_nobody")
    with pytest.raises(openai.BadRequestError) as unknown:
        client.batches.create(input_file_id="file-nobody", endpoint=CHAT, completion_window="24h")
    assert unknown.value.param == "input_file_id"
    wrong: Any = "/v1/moderation"
    with pytest.raises(openai.BadRequestError, match="one of /v1/chat/completions, /v1/embeddings") as endpoint:
        client.batches.create(input_file_id="file-nobody", endpoint=wrong, completion_window="24h")
    assert (endpoint.value.param, endpoint.value.code) == ("endpoint", "invalid_value")
    with pytest.raises(openai.BadRequestError, match="no batch 'batch_nobody' to page from") as cursor:
        client.batches.list(after="batch_nobody")
    assert cursor.value.param == "after"
    unauthorized = OpenAI(base_url=str(client.base_url), api_key="wrong", max_retries=0)
    with unauthorized, pytest.raises(openai.AuthenticationError) as refused:
        unauthorized.batches.list()
    assert refused.value.code == "invalid_api_key"


async def test_all_operations_work_with_the_async_client(async_client: AsyncOpenAI) -> None:
    file = await async_client.files.create(file=jsonl(chat("a"), chat("b")), purpose="batch")
    batch = await async_client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    while (batch := await async_client.batches.retrieve(batch.id)).status in NOT_TERMINAL:
        pass
    assert batch.output_file_id is not None
    output = (await async_client.files.content(batch.output_file_id)).text
    assert sorted(json.loads(line)["custom_id"] for line in output.splitlines()) == ["a", "b"]
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'") as ended:
        await async_client.with_options(max_retries=2).batches.cancel(batch.id)
    assert ended.value.request.headers["x-stainless-retry-count"] == "0"
    listed = [found.id async for found in async_client.batches.list(limit=1)]
    assert listed[0] == batch.id
    with pytest.raises(openai.NotFoundError):
        await async_client.batches.retrieve("batch_nobody")
