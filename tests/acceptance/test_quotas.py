"""The official SDKs at a quota: one error that names it and no useless retries, or a retry when there is room again."""

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.request import Request, urlopen

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway_process import GatewayProcess
from tests.support.running_app import RunningApp, running_app

KEY = "sk-bf-root-of-this-test"
SETTINGS = f"""
[accounts.anthropic]
provider = "simulator"

[api_keys.root]
key = "{KEY}"
scopes = ["read", "submit", "admin"]
"""
REQUEST = {
    "custom_id": "a",
    "params": {"model": "simulated", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SETTINGS) as process:
        change = Request(
            f"{process.url}/api/workspaces/default",
            data=b'{"quotas": {"concurrent_batches": 0, "stored_bytes": 0}}',
            headers={"x-api-key": KEY, "Content-Type": "application/json"},
            method="PATCH",
        )
        with urlopen(change) as answer:
            assert answer.status == 200
        yield process


def refusals(gateway: GatewayProcess, operation: str) -> float:
    """Return how many calls of an operation the gateway answered with 429."""
    with urlopen(Request(f"{gateway.url}/metrics", headers={"x-api-key": KEY})) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    wanted = {"operation": operation, "status": "429"}
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "batchgate_http_requests_total" and sample.labels == wanted
    )


def test_the_anthropic_sdk_raises_without_retries(gateway: GatewayProcess) -> None:
    client = anthropic.Anthropic(base_url=f"{gateway.url}/anthropic", api_key=KEY, max_retries=5)
    with pytest.raises(anthropic.RateLimitError, match="is at its quota of concurrent batches: the limit is 0"):
        client.messages.batches.create(requests=[REQUEST])  # type: ignore[list-item]
    assert refusals(gateway, "createMessageBatch") == 1


def test_the_openai_sdk_raises_without_retries(gateway: GatewayProcess) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=KEY, max_retries=5)
    with pytest.raises(openai.RateLimitError, match="is at its quota of stored bytes: the limit is 0") as caught:
        client.files.create(file=BytesIO(b"{}\n"), purpose="batch")
    assert caught.value.code == "quota_exceeded"
    assert refusals(gateway, "createFile") == 1


async def test_the_sdks_wait_for_the_next_minute_and_are_accepted(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        app.clock.move(19)  # the minute of the clock has one second left, for which the SDKs wait
        status, _ = await app.call("PATCH", "/api/workspaces/default", json={"quotas": {"creates_per_minute": 1}})
        assert status == 200
        await app.create("a")
        claude = anthropic.AsyncAnthropic(base_url=f"{app.url}/anthropic", api_key="none", max_retries=1)
        created = asyncio.create_task(claude.messages.batches.create(requests=[REQUEST]))  # type: ignore[list-item]
        await move_to_next_minute(app, "createMessageBatch")
        assert (await created).processing_status == "in_progress"
        app.clock.move(59)
        client = openai.AsyncOpenAI(base_url=f"{app.url}/openai/v1", api_key="none", max_retries=1)
        uploaded = asyncio.create_task(client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch"))
        await move_to_next_minute(app, "createFile")
        assert (await uploaded).bytes == 3
        await claude.close()
        await client.close()


async def move_to_next_minute(app: RunningApp, operation: str) -> None:
    """Move the clock by a second as soon as an operation was refused with 429."""
    refused = f'batchgate_http_requests_total{{operation="{operation}",status="429"}} 1.0'
    while True:
        async with app.client.get(f"{app.url}/metrics") as response:
            if refused in await response.text():
                break
    app.clock.move(1)
