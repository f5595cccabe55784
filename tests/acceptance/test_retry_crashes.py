"""A gateway that is killed while it creates a retry has the whole new batch after a restart, or nothing of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.test_crashes import make_gateway
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import check_no_storage_leaks

REQUESTS = 600
"""Every third one fails: the simulated model refuses a maximum of no tokens."""
FAILED = [f"r{number}" for number in range(0, REQUESTS, 3)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.0") as simulated:
        yield simulated


def call(gateway: GatewayProcess, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make a call with an idempotency key; a batch that it creates is not paused for failing alike."""
    headers = {"content-type": "application/json", "Idempotency-Key": f"once {path}", "batchgate-fail-fast": "0"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(gateway.url + path, data=data, headers=headers)) as response:
        answer = json.load(response)
    assert isinstance(answer, dict)
    return answer


def wait_until_ended(gateway: GatewayProcess, batch_id: str) -> dict[str, Any]:
    while (progress := call(gateway, f"/api/batches/{batch_id}/progress"))["status"] != "ended":
        pass
    return progress


def ended_batch(gateway: GatewayProcess) -> str:
    requests = [
        {
            "custom_id": f"r{number}",
            "params": {
                "model": "m",
                "max_tokens": 10 if number % 3 else 0,
                "messages": [{"role": "user", "content": str(number)}],
            },
        }
        for number in range(REQUESTS)
    ]
    batch_id = str(call(gateway, "/anthropic/v1/messages/batches", {"requests": requests})["id"])
    wait_until_ended(gateway, batch_id)
    return batch_id


@pytest.mark.parametrize("step", ["intake_spooled", "rows_written"])
def test_a_retry_that_is_called_again_after_a_kill_is_one_whole_batch(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with make_gateway(upstream, tmp_path) as gateway:
        parent = ended_batch(gateway)
    path = f"/api/batches/{parent}/retry"
    with make_gateway(upstream, tmp_path, f"{step}=kill") as gateway:
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            call(gateway, path, {})
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path) as gateway:
        child = call(gateway, path, {})
        assert (child["parent"], child["total"]) == (parent, len(FAILED))
        assert wait_until_ended(gateway, child["id"])["errored"] == len(FAILED)
        batches = call(gateway, "/api/batches")["data"]
        assert [batch["id"] for batch in batches] == [child["id"], parent]
        check_no_storage_leaks(tmp_path)
