"""The official Anthropic SDK, sync and async, against a live gateway.

The tests session runs this suite with the newest release of the SDK, the sdk session with older releases.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

ENDS_WITHIN = 120.0  # seconds; only a batch that never ends should exceed it


@pytest.fixture(params=["/anthropic", "", "/v1"], ids=["anthropic", "root", "doubled-v1"])
def client(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url + request.param, api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(gateway: GatewayProcess) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=f"{gateway.url}/anthropic", api_key=API_KEY, max_retries=0) as client:
        yield client


def requests(*custom_ids: str, model: str = "claude-sonnet-4-5") -> Any:
    message = {"role": "user", "content": "Say hello."}
    return [
        {"custom_id": custom_id, "params": {"model": model, "max_tokens": 16, "messages": [message]}}
        for custom_id in custom_ids
    ]


def wait_until_ended(client: Anthropic, batch_id: str) -> Any:
    deadline = time.monotonic() + ENDS_WITHIN
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < deadline, f"the batch is still {batch.processing_status}"
    return batch


def delete_all(client: Anthropic) -> None:
    for batch in list(client.messages.batches.list(limit=1000)):
        wait_until_ended(client, batch.id)
        client.messages.batches.delete(batch.id)


def test_the_sdk_creates_polls_reads_and_deletes_a_batch(client: Anthropic) -> None:
    created = client.messages.batches.create(requests=requests("a", "b", "c"))
    assert created.processing_status == "in_progress"
    assert created.request_counts.processing == 3
    assert created.results_url is None
    assert (created.expires_at - created.created_at).total_seconds() == 24 * 3600
    ended = wait_until_ended(client, created.id)
    assert ended.request_counts.succeeded == 3
    results = list(client.messages.batches.results(created.id))
    assert [line.custom_id for line in results] == ["a", "b", "c"]
    for line in results:
        assert line.result.type == "succeeded"
        assert line.result.message.content[0].type == "text"
        assert line.result.message.content[0].text.startswith("You said: Say hello.")
        assert line.result.message.model == "claude-sonnet-4-5"
        assert line.result.message.usage.output_tokens > 0
    deleted = client.messages.batches.delete(created.id)
    assert (deleted.id, deleted.type) == (created.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(created.id)


def test_a_canceled_batch_keeps_the_results_of_requests_in_flight(client: Anthropic) -> None:
    created = client.messages.batches.create(requests=requests(*map(str, range(100)), model="slow"))
    canceling = client.messages.batches.cancel(created.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    ended = wait_until_ended(client, created.id)
    counts = ended.request_counts
    assert counts.canceled > 0
    assert counts.succeeded + counts.canceled == 100
    kinds = [line.result.type for line in client.messages.batches.results(created.id)]
    assert kinds.count("canceled") == counts.canceled
    assert client.messages.batches.cancel(created.id).processing_status == "ended"


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_auto_paging_returns_every_batch_once_forward_and_backward(client: Anthropic, limit: int) -> None:
    delete_all(client)
    ids = [client.messages.batches.create(requests=requests("a")).id for _ in range(5)]
    assert [batch.id for batch in client.messages.batches.list(limit=limit)] == ids[::-1]
    assert [batch.id for batch in client.messages.batches.list(limit=limit, after_id=ids[3])] == ids[2::-1]
    pages = list(client.messages.batches.list(limit=limit, before_id=ids[0]).iter_pages())
    assert sorted(batch.id for page in pages for batch in page.data) == sorted(ids[1:])
    nearest = [batch.id for batch in pages[0].data]
    assert nearest == ids[1 : 1 + limit][::-1]


def test_the_sdk_raises_its_typed_exceptions(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="there must be at least 1 request") as caught:
        client.messages.batches.create(requests=[])
    assert caught.value.response.headers["request-id"].startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match=r"requests\.1\.custom_id: 'a' is already"):
        client.messages.batches.create(requests=requests("a", "a"))
    with pytest.raises(anthropic.NotFoundError, match="no batch"):
        client.messages.batches.cancel("msgbatch_01nobody")
    running = client.messages.batches.create(requests=requests("a", model="slow"))
    with pytest.raises(anthropic.BadRequestError, match="Cancel it first"):
        client.messages.batches.delete(running.id)
    unauthorized = Anthropic(base_url=str(client.base_url), api_key="wrong", max_retries=0)
    with unauthorized, pytest.raises(anthropic.AuthenticationError):
        unauthorized.messages.batches.list()


def test_beta_calls_reach_the_same_batches(client: Anthropic) -> None:
    created = client.beta.messages.batches.create(requests=requests("a"), betas=["output-300k-2026-03-24"])
    wait_until_ended(client, created.id)
    assert [line.custom_id for line in client.beta.messages.batches.results(created.id)] == ["a"]
    assert client.beta.messages.batches.retrieve(created.id).id == created.id


async def test_all_six_operations_work_with_the_async_client(async_client: AsyncAnthropic) -> None:
    batches = async_client.messages.batches
    created = await batches.create(requests=requests("a", "b"))
    async with asyncio.timeout(ENDS_WITHIN):
        while (await batches.retrieve(created.id)).processing_status != "ended":
            pass
    assert [line.custom_id async for line in await batches.results(created.id)] == ["a", "b"]
    assert (await batches.cancel(created.id)).processing_status == "ended"
    assert created.id in [batch.id async for batch in batches.list(limit=1)]
    assert created.id not in [batch.id async for batch in batches.list(limit=1, before_id=created.id)]
    assert (await batches.delete(created.id)).id == created.id
    with pytest.raises(anthropic.NotFoundError):
        await batches.retrieve(created.id)
