"""What only Cohere's batch API has: datasets of several types, rows in forms of their own, results in Avro."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import structs

from batchgate.account_settings import PriceSettings
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import RequestRow, RowKind
from batchgate.providers.batches.http_exchange import HttpExchange
from tests.integration.native.lane_client import END, LaneClient, stream
from tests.integration.native.native_gateway import KEY as PROVIDER_KEY
from tests.integration.native.native_gateway import MIN_REQUESTS, NativeGateway, native_gateway
from tests.support.openai_batches import create
from tests.support.simulated_batches import simulated_providers

TURNS: Final = [{"role": "user", "content": "Hello"}]
PARAMETERS: Final = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL: Final = {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}


@pytest.fixture
async def cohere() -> AsyncIterator[LaneClient]:
    """Run a simulated Cohere, and return its client."""
    async with simulated_providers() as providers, HttpExchange() as exchange:
        yield LaneClient("cohere", providers, exchange)


def row(kind: RowKind, **params: object) -> RequestRow:
    encoded = msgspec.json.encode({"model": "sim-1"} | params)
    return RequestRow(custom_id="c", params=encoded, model="sim-1", headers={}, kind=kind)


async def submit(cohere: LaneClient, kind: RowKind, planned: Sequence[PlannedRow]) -> NativeJob:
    """Upload and create a job of these rows."""
    job = structs.replace(cohere.job(len(planned)), kind=kind)
    file = await cohere.batches.upload(cohere.account, job, stream(planned))
    uploaded = structs.replace(job, upstream_file=file)
    return cohere.created(uploaded, await cohere.batches.create(cohere.account, uploaded, stream(planned)))


async def answers(cohere: LaneClient, *rows: RequestRow) -> list[Any]:
    """Run requests in a job, and return their answers as their callers get them."""
    kind = cohere.batches.sent_kind(rows[0].kind)
    planned = [cohere.batches.encode(cohere.account, one, f"r{seq}") for seq, one in enumerate(rows)]
    job = await submit(cohere, kind, planned)
    await cohere.providers.advance(END)
    results = {result.row_id: result for result in await cohere.results(job)}
    return [msgspec.json.decode(cohere.answer(one, results[f"r{seq}"])) for seq, one in enumerate(rows)]


async def test_embeddings_of_openai_run_by_coheres_embed(cohere: LaneClient) -> None:
    first, second = await answers(cohere, row("embeddings", input="Hello"), row("embeddings", input=["Bye", "Hello"]))
    assert [item["index"] for item in second["data"]] == [0, 1]
    assert second["data"][1]["embedding"] == first["data"][0]["embedding"] != second["data"][0]["embedding"]
    assert first["usage"]["prompt_tokens"] > 0


async def test_requests_of_coheres_own_get_answers_of_coheres_own(cohere: LaneClient) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "Hello"}, image]
    chat, other = await answers(
        cohere,
        row("cohere_chat", messages=TURNS, thinking={"type": "disabled"}, k=3, stream=False),
        row("cohere_chat", messages=[{"role": "user", "content": content}], tools=[TOOL], max_tokens=1),
    )
    assert chat["message"] == {"role": "assistant", "content": [{"type": "text", "text": "You said: Hello"}]}
    assert (chat["finish_reason"], other["finish_reason"]) == ("COMPLETE", "MAX_TOKENS")
    assert chat["usage"]["tokens"]["input_tokens"] > 0
    (embed,) = await answers(cohere, row("cohere_embed", texts=["a", "b"], input_type="clustering"))
    assert embed["texts"] == ["a", "b"]
    assert len(embed["embeddings"]["float"]) == 2


async def test_a_malformed_row_is_left_out_and_the_others_run(cohere: LaneClient) -> None:
    good = cohere.planned(0, cohere.row())
    bad = PlannedRow(row_id="r1", line=b'{"custom_id":"r1","body":{"messages":[{"role":"user","content":"a"}]}}')
    job = await submit(cohere, "chat_completions", [good, bad])
    await cohere.providers.advance(END)
    assert [result.row_id for result in await cohere.results(job)] == ["r0"]


async def test_a_dataset_without_a_good_row_is_refused(cohere: LaneClient) -> None:
    bad = PlannedRow(row_id="r0", line=b'{"custom_id":"r0","body":{}}')
    with pytest.raises(UpstreamError, match="Cohere refused the dataset: the dataset has no valid rows"):
        await submit(cohere, "chat_completions", [bad])


async def test_a_row_that_the_model_refuses_has_an_error(cohere: LaneClient) -> None:
    refused = row("cohere_embed", texts=["a"], input_type="nothing")
    with pytest.raises(UpstreamError, match="valid input_type must be provided"):
        await answers(cohere, refused)


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("chat_completions", {"messages": TURNS, "stop": "a"}, "stop: Cohere's jobs drop it"),
        ("cohere_chat", {"messages": TURNS, "documents": ["a"]}, "documents: Cohere's jobs drop it"),
        ("cohere_chat", {"messages": TURNS, "stream": True}, "stream: batches do not stream"),
        ("embeddings", {"input": "a", "dimensions": 8}, "output_dimension: Cohere's jobs drop it"),
        ("embeddings", {"input": "a", "encoding_format": "base64"}, "encoding_format: jobs give no base64"),
        ("embeddings", {"input": [1, 2]}, "input: should be a text"),
        ("completions", {"prompt": "a"}, "url: cohere is not known to support completions"),
        ("messages", {"max_tokens": 9, "messages": TURNS, "stop_sequences": ["a"]}, "stop: Cohere's jobs drop it"),
    ],
)
def test_what_a_job_would_drop_or_refuse_runs_directly(
    cohere: LaneClient, kind: RowKind, params: dict[str, object], reason: str
) -> None:
    refused = cohere.batches.refusal(row(kind, **params))
    assert refused is not None
    assert refused.startswith(reason)


# Through the gateway


async def ended(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    """Let time pass until a batch has ended, and return its progress."""
    while (progress := await gateway.progress(batch_id))["status"] != "ended":
        await gateway.pass_time()
    return progress


async def datasets(gateway: NativeGateway) -> list[Any]:
    """Return the datasets that the provider has."""
    url, headers = f"{gateway.providers.url}/cohere/v1/datasets", {"authorization": f"Bearer {PROVIDER_KEY}"}
    async with gateway.providers.http.get(url, headers=headers) as response:
        return msgspec.json.decode(await response.read(), type=dict[str, list[Any]])["datasets"]


async def test_a_dataset_whose_validation_takes_long_is_uploaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It was uploaded again after every wait, and no upload was ever old enough to be validated.
    monkeypatch.setattr("batchgate.providers.batches.cohere_batches._WAITS", ())
    async with native_gateway(tmp_path, "cohere") as gateway:
        await gateway.providers.configure(file_pending=900)
        batch = await gateway.create(*(f"r{number}" for number in range(MIN_REQUESTS)))
        while not await datasets(gateway):
            await gateway.pass_time()
        for _ in range(10):
            await gateway.pass_time(60.0)
        assert await gateway.providers.jobs() == []
        assert len(await datasets(gateway)) == 1
        done = await gateway.until_ended(batch["id"], step=60.0)
        assert done["request_counts"]["succeeded"] == MIN_REQUESTS
        assert len(await gateway.providers.jobs()) == 1


async def test_a_batch_with_coheres_own_urls_travels_in_a_job_and_is_priced(tmp_path: Path) -> None:
    prices = {"sim-1": PriceSettings(input=1.0, output=2.0)}
    lines = [
        {
            "custom_id": f"r-{n}",
            "method": "POST",
            "url": "/v2/chat",
            "body": {"model": "sim-1", "messages": TURNS} | ({"documents": ["a"]} if n == 0 else {}),
        }
        for n in range(30)
    ]
    async with native_gateway(tmp_path, "cohere", prices=prices) as gateway:
        batch = await create(gateway.app, *lines, endpoint="/v2/chat")
        progress = await ended(gateway, batch["id"])
    assert progress["succeeded"] == 30
    assert [job["answered"] for job in progress["jobs"]] == [29]
    reasons = {part["reason"]: part["requests"] for part in progress["lanes"]}
    assert reasons["documents: Cohere's jobs drop it"] == 1
    spent = progress["spent"]
    assert spent["native_usd"] * 2 == pytest.approx(spent["direct_usd"] * 29)


async def test_embeddings_of_openai_travel_in_a_job(tmp_path: Path) -> None:
    lines = [
        {"custom_id": f"r-{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": f"text {n}"}}
        for n in range(30)
    ]
    async with native_gateway(tmp_path, "cohere", embedding_input_type="search_query") as gateway:
        batch = await create(gateway.app, *lines, endpoint="/v1/embeddings")
        progress = await ended(gateway, batch["id"])
    assert [job["answered"] for job in progress["jobs"]] == [30]
