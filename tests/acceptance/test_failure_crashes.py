"""A gateway that is killed while requests fail counts each failure once after a restart, and pauses the batch once."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.acceptance.test_crashes import anthropic_client, make_gateway
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS = 600
"""Two shards; every third request fails."""
FAILED = [f"r{number}" for number in range(0, REQUESTS, 3)]
STEPS = [
    "response_received=kill:150",
    "chunk_half_flushed=kill:1",
    "chunk_half_flushed=kill:3",
    "last_shard_done=kill",
    "finalizing_started=kill",
    "batch_marked=kill",
]
SEEDS = range(3)


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02") as simulated:
        yield simulated


def submit_once(client: Anthropic, *, failed_only: bool = False) -> str | None:
    """Submit the batch with an idempotency key; return None if a kill prevented the acknowledgement."""
    requests = [
        {
            "custom_id": f"r{number}",
            "params": {
                "model": "m",
                "max_tokens": 10 if number % 3 or failed_only else 0,
                "messages": [{"role": "user", "content": number if failed_only else str(number)}],
            },
        }
        for number in range(REQUESTS)
    ]
    try:
        headers = {"Idempotency-Key": "the only batch"} | ({} if failed_only else {"batchgate-fail-fast": "0"})
        return client.messages.batches.create(requests=requests, extra_headers=headers).id  # type: ignore[arg-type]
    except anthropic.APIConnectionError:
        return None


def progress_of(client: Anthropic, batch_id: str) -> dict[str, Any]:
    url = str(client.base_url).replace("/anthropic", f"/api/batches/{batch_id}/progress").rstrip("/")
    progress = client.get(url, cast_to=object)
    assert isinstance(progress, dict)
    return progress


def check_failures(gateway: GatewayProcess) -> None:
    """Wait until the batch has ended, and compare its failures with its counts."""
    with anthropic_client(gateway) as client:
        batch_id = submit_once(client)
        assert batch_id is not None
        while (progress := progress_of(client, batch_id))["status"] != "ended":
            pass
        assert (progress["succeeded"], progress["errored"]) == (REQUESTS - len(FAILED), len(FAILED))
        (group,) = progress["failures"]
        assert (group["kind"], group["count"]) == ("invalid_request_error", len(FAILED))
        assert group["custom_ids"] == FAILED[:5]


@pytest.mark.parametrize("step", STEPS)
def test_each_failure_counts_once_after_a_kill_at_a_step(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with make_gateway(upstream, tmp_path, step) as gateway, anthropic_client(gateway) as client:
        submit_once(client)
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path) as gateway:
        check_failures(gateway)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_failure_counts_once_after_kills_at_random_moments(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
            kill = threading.Timer(rng.uniform(0.05, 0.5), gateway.kill)
            kill.start()
            submit_once(client)
            kill.join()
    with make_gateway(upstream, tmp_path) as gateway:
        check_failures(gateway)


@pytest.mark.parametrize("step", ["response_received=kill:30", "chunk_half_flushed=kill:1"])
def test_a_batch_whose_requests_all_fail_is_paused_once_after_a_kill(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with make_gateway(upstream, tmp_path, step) as gateway, anthropic_client(gateway) as client:
        submit_once(client, failed_only=True)
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
        batch_id = submit_once(client, failed_only=True)
        assert batch_id is not None
        while (progress := progress_of(client, batch_id))["paused"] is None:
            assert progress["status"] == "in_progress"
        assert progress["paused"]["code"] == "identical_errors"
        assert progress["errored"] < REQUESTS
        url = f"{gateway.url}/api/batches/{batch_id}"
        client.post(f"{url}/resume", cast_to=object)
        while progress_of(client, batch_id)["status"] != "ended":
            pass
        timeline = client.get(f"{url}/timeline", cast_to=object)
        assert isinstance(timeline, dict)
        assert [entry["action"] for entry in timeline["data"]] == ["paused", "resumed"]
