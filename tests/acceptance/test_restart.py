"""A gateway that is stopped or killed during a batch resumes it, and resends only what a kill lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic

from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS = 2_000
CONCURRENCY = 32
FLUSHED_TOGETHER = 256
ENDS_WITHIN = 120.0  # seconds; only a batch that never ends should exceed it


@pytest.fixture
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02") as simulated:
        yield simulated


def settings(upstream: SimulatedUpstream) -> str:
    return f"""
    [accounts.anthropic]
    provider = "anthropic"
    base_url = "{upstream.url}"
    api_key = "sk-upstream"
    concurrency = {CONCURRENCY}
    """


def anthropic_client(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any", max_retries=0)


def submit(client: Anthropic) -> str:
    batch = client.messages.batches.create(
        requests=[
            {
                "custom_id": f"r{number}",
                "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": str(number)}]},
            }
            for number in range(REQUESTS)
        ]
    )
    return batch.id


def wait_for_calls(upstream: SimulatedUpstream, calls: int) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while upstream.stats().calls < calls:
        assert time.monotonic() < deadline


def check_results(client: Anthropic, batch_id: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < deadline, batch
    assert batch.request_counts.succeeded == REQUESTS
    results = list(client.messages.batches.results(batch_id))
    assert [line.custom_id for line in results] == [f"r{number}" for number in range(REQUESTS)]
    for number, line in enumerate(results):
        assert line.result.type == "succeeded"
        assert line.result.message.content[0].type == "text"
        assert line.result.message.content[0].text == f"You said: {number}"


def test_a_stopped_gateway_resumes_after_the_next_start_and_sends_no_request_twice(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=settings(upstream)) as gateway, anthropic_client(gateway) as client:
        batch_id = submit(client)
        wait_for_calls(upstream, REQUESTS // 4)
        assert gateway.terminate() == 0
    calls = upstream.stats().calls
    assert calls < REQUESTS
    with GatewayProcess(data_dir=tmp_path, settings=settings(upstream)) as gateway, anthropic_client(gateway) as client:
        check_results(client, batch_id)
    assert upstream.stats().calls == REQUESTS
    assert upstream.stats().distinct_bodies == REQUESTS


def test_a_killed_gateway_resumes_after_the_next_start_and_resends_only_requests_that_were_not_flushed(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=settings(upstream)) as gateway, anthropic_client(gateway) as client:
        batch_id = submit(client)
        wait_for_calls(upstream, REQUESTS // 4)
        gateway.kill()
    with GatewayProcess(data_dir=tmp_path, settings=settings(upstream)) as gateway, anthropic_client(gateway) as client:
        check_results(client, batch_id)
    assert REQUESTS <= upstream.stats().calls <= REQUESTS + CONCURRENCY + FLUSHED_TOGETHER
