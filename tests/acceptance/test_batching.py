"""Single calls of the official SDKs travel in batches through `BatchTransport`, against a live gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import uuid4

import anthropic
import httpx2
import openai
import pytest

from batchgate_client import AuthenticatedClient
from batchgate_client.api.batch_progress import list_all_batches
from batchgate_client.models import BatchSummary, BatchSummaryList
from batchgate_streams.batching import BatchTransport
from tests.acceptance.conftest import API_KEY
from tests.support.cutting_proxy import CuttingProxy
from tests.support.gateway_process import GatewayProcess

LONG = 300.0
"""Seconds: batches of tests that wait so long are created because they are full."""

LONE_SURROGATE = rb'{"model": "simulated", "messages": [{"role": "user", "content": "\ud800"}]}'


class Sent:
    """The batches that one test has made, found by their name."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.name = f"test-{uuid4()}"
        self.url = gateway.url

    def transport(self, *, max_requests: int = 1000, max_wait: float = LONG, api_key: str = API_KEY) -> BatchTransport:
        """Return a transport whose batches are found here."""
        return BatchTransport(self.url, api_key=api_key, name=self.name, max_requests=max_requests, max_wait=max_wait)

    def wait_until_created(self) -> None:
        """Wait for the first batch."""
        while not self.batches():
            time.sleep(0.01)

    def wait_until_ended(self) -> BatchSummary:
        """Wait until the newest batch has ended, and return it."""
        while (batch := self.batches()[0]).status != "ended":
            time.sleep(0.05)
        return batch

    def batches(self) -> list[BatchSummary]:
        """Return the batches, the newest first."""
        with AuthenticatedClient(base_url=self.url, token=API_KEY) as client:
            page = list_all_batches.sync(client=client, name=self.name)
        assert isinstance(page, BatchSummaryList)
        return page.data

    def totals(self) -> list[int]:
        """Return the number of requests of each batch."""
        return sorted(batch.total for batch in self.batches())


@pytest.fixture
def sent(gateway: GatewayProcess) -> Sent:
    return Sent(gateway)


@asynccontextmanager
async def sdks(transport: BatchTransport) -> AsyncIterator[tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]]:
    async with httpx2.AsyncClient(transport=transport) as http:
        yield (
            openai.AsyncOpenAI(api_key="unused", http_client=http, timeout=0.001),
            anthropic.AsyncAnthropic(api_key="unused", http_client=http, timeout=0.001),
        )


async def chat(client: openai.AsyncOpenAI, text: str, model: str = "simulated") -> str:
    answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content or ""


async def message(client: anthropic.AsyncAnthropic, text: str) -> str:
    answer = await client.messages.create(
        model="simulated", max_tokens=64, messages=[{"role": "user", "content": text}]
    )
    return getattr(answer.content[0], "text", "")


async def test_the_calls_of_an_endpoint_travel_in_one_batch_and_each_gets_its_answer(sent: Sent) -> None:
    async with sdks(sent.transport(max_requests=20)) as (openai_sdk, anthropic_sdk):
        chats = [chat(openai_sdk, f"chat {number}") for number in range(20)]
        messages = [message(anthropic_sdk, f"message {number}") for number in range(20)]
        answers = await asyncio.gather(*chats, *messages)
    assert answers == [f"You said: {kind} {number}" for kind in ("chat", "message") for number in range(20)]
    assert sent.totals() == [20, 20]


async def test_a_batch_that_is_not_full_is_sent_after_the_longest_wait(sent: Sent) -> None:
    async with sdks(sent.transport(max_wait=0.05)) as (client, _):
        vectors, response = await asyncio.gather(
            client.embeddings.create(model="simulated", input="Hello"),
            client.responses.create(model="simulated", input="Hello"),
        )
    assert len(vectors.data[0].embedding) > 1
    assert response.output_text == "You said: Hello"
    assert sent.totals() == [1, 1]


async def test_an_error_of_one_call_is_the_error_that_the_sdk_knows_and_no_call_is_repeated(sent: Sent) -> None:
    async with sdks(sent.transport(max_requests=3)) as (openai_sdk, anthropic_sdk):
        no_tokens = anthropic_sdk.messages.create(
            model="simulated", max_tokens=-1, messages=[{"role": "user", "content": "Hello"}]
        )
        answers = await asyncio.gather(
            chat(openai_sdk, "good"),
            chat(openai_sdk, "no such account", "nobody/model"),
            openai_sdk.post("/chat/completions", content=LONE_SURROGATE, cast_to=object),
            message(anthropic_sdk, "good"),
            message(anthropic_sdk, "good"),
            no_tokens,
            return_exceptions=True,
        )
    assert [answers[0], *answers[3:5]] == ["You said: good"] * 3
    assert isinstance(answers[1], openai.NotFoundError)
    assert "no account is called 'nobody'" in answers[1].message
    assert isinstance(answers[2], openai.BadRequestError)  # refused at the create, which then had the other two
    assert "lone surrogate" in answers[2].message
    assert "requests.2" not in answers[2].message
    assert isinstance(answers[5], anthropic.BadRequestError)
    assert "max_tokens: must be at least 1" in answers[5].message
    assert sent.totals() == [2, 3]


async def test_a_call_gets_its_answer_while_its_batch_still_runs(sent: Sent) -> None:
    async with sdks(sent.transport(max_requests=2)) as (client, _):
        slow = asyncio.create_task(chat(client, "slow", "slow"))
        assert await chat(client, "fast") == "You said: fast"
        assert not slow.done()
        assert await slow == "You said: slow"


async def test_threads_share_a_batch(sent: Sent) -> None:
    def call(number: int) -> str | None:
        answer = client.chat.completions.create(model="simulated", messages=[{"role": "user", "content": str(number)}])
        return answer.choices[0].message.content

    with httpx2.Client(transport=sent.transport(max_requests=8)) as http, ThreadPoolExecutor(8) as threads:
        client = openai.OpenAI(api_key="unused", http_client=http)
        assert list(threads.map(call, range(8))) == [f"You said: {number}" for number in range(8)]
    assert sent.totals() == [8]


async def test_a_cancelled_call_is_not_sent(sent: Sent) -> None:
    async with sdks(sent.transport(max_wait=0.3)) as (client, _):
        cancelled, kept = (asyncio.create_task(chat(client, text)) for text in ("cancelled", "kept"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cancelled, timeout=0.1)
        assert await kept == "You said: kept"
    assert sent.totals() == [1]


async def test_a_batch_that_nobody_waits_for_is_canceled(sent: Sent) -> None:
    async with sdks(sent.transport(max_requests=150)) as (client, _):
        calls = [asyncio.create_task(chat(client, str(number), "slow")) for number in range(150)]
        await asyncio.to_thread(sent.wait_until_created)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        batch = await asyncio.to_thread(sent.wait_until_ended)
    assert batch.canceled > 0


async def test_a_create_whose_answer_is_lost_is_repeated_and_makes_one_batch(sent: Sent) -> None:
    with CuttingProxy(sent.url, cuts=[10]) as proxy:
        transport = BatchTransport(proxy.url, api_key=API_KEY, name=sent.name, max_requests=2, max_wait=LONG)
        async with sdks(transport) as (client, _):
            cancelled, kept = (asyncio.create_task(chat(client, text)) for text in ("cancelled", "kept"))
            await asyncio.to_thread(sent.wait_until_created)
            cancelled.cancel()
            assert await kept == "You said: kept"
    assert sent.totals() == [2]
    assert sum(request.startswith(b"POST") for request in proxy.requests) == 2


async def test_a_batch_is_canceled_although_the_answer_to_its_create_is_lost_and_nobody_waits(sent: Sent) -> None:
    with CuttingProxy(sent.url, cuts=[10]) as proxy:
        transport = BatchTransport(proxy.url, api_key=API_KEY, name=sent.name, max_requests=150, max_wait=LONG)
        async with sdks(transport) as (client, _):
            calls = [asyncio.create_task(chat(client, str(number), "slow")) for number in range(150)]
            await asyncio.to_thread(sent.wait_until_created)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            batch = await asyncio.to_thread(sent.wait_until_ended)
    assert batch.canceled > 0
    assert sent.totals() == [150]


async def test_what_cannot_be_in_a_batch_is_refused_at_once(sent: Sent) -> None:
    async with sdks(sent.transport()) as (openai_sdk, anthropic_sdk):
        with pytest.raises(openai.BadRequestError, match="a batch has no streams"):
            await openai_sdk.chat.completions.create(model="simulated", messages=[], stream=True)
        with pytest.raises(openai.NotFoundError, match="GET /v1/models cannot be sent in a batch"):
            await openai_sdk.models.list()
        with pytest.raises(anthropic.NotFoundError, match="/v1/messages/count_tokens cannot be sent in a batch"):
            await anthropic_sdk.messages.count_tokens(model="simulated", messages=[])
    assert sent.batches() == []


async def test_a_refused_batch_is_the_error_of_each_of_its_calls(sent: Sent) -> None:
    async with sdks(sent.transport(max_requests=2, api_key="sk-bf-wrong-key-wrong")) as (client, _):
        answers = await asyncio.gather(chat(client, "a"), chat(client, "b"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [openai.AuthenticationError] * 2


async def test_a_gateway_that_stays_away_is_an_error_of_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgate_streams.outage.MAX_OUTAGE", 0.0)
    async with sdks(BatchTransport("http://127.0.0.1:9", api_key=API_KEY, max_wait=0)) as (client, _):
        with pytest.raises(openai.InternalServerError, match="no answer came"):
            await chat(client, "Hello")


async def test_closing_the_client_ends_its_calls_with_an_error_and_cancels_their_batches(sent: Sent) -> None:
    transport = sent.transport(max_requests=150)
    async with sdks(transport) as (client, _):
        calls = [asyncio.create_task(chat(client, str(number), "slow")) for number in range(151)]
        await asyncio.to_thread(sent.wait_until_created)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {openai.InternalServerError}
    assert all("was closed" in str(answer) for answer in answers)
    batch = await asyncio.to_thread(sent.wait_until_ended)
    assert batch.canceled > 0
    response = transport.handle_request(httpx2.Request("POST", "http://any/v1/messages", json={}))
    assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")


@pytest.mark.parametrize(("option", "value"), [("max_requests", 0), ("max_wait", -1.0)])
def test_limits_that_make_no_sense_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        BatchTransport("http://127.0.0.1:8080", api_key="any", **{option: value})  # type: ignore[arg-type]
