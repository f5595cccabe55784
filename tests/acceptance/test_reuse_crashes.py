"""A gateway that is killed while requests take over results goes on after a restart: each request has one result."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.test_crashes import make_gateway
from tests.acceptance.test_retry_crashes import wait_until_ended
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import check_no_storage_leaks

BATCHES = "/anthropic/v1/messages/batches"
REQUESTS = 1200
"""Three shards, of which each takes over results."""
CHANGED = range(0, REQUESTS, 10)


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.0") as simulated:
        yield simulated


def create(gateway: GatewayProcess, prompts: list[str], reuse: str | None = None) -> str:
    requests = [{"custom_id": f"r{number}", "params": params(prompt)} for number, prompt in enumerate(prompts)]
    headers = {"content-type": "application/json"} | ({} if reuse is None else {"batchgate-reuse": reuse})
    body = json.dumps({"requests": requests}).encode()
    with urlopen(Request(gateway.url + BATCHES, data=body, headers=headers)) as response:
        return str(json.load(response)["id"])


def params(prompt: str) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": prompt}]}


def test_a_kill_while_results_are_taken_over_loses_none_and_repeats_none(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    prompts = [f"prompt {number}" for number in range(REQUESTS)]
    with make_gateway(upstream, tmp_path) as gateway:
        parent = create(gateway, prompts)
        wait_until_ended(gateway, parent)
    calls = upstream.stats().calls
    for number in CHANGED:
        prompts[number] += ", changed"
    with make_gateway(upstream, tmp_path, "results_reused=kill:2") as gateway:
        child = create(gateway, prompts, reuse=parent)
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path, "native_grouped=kill") as gateway:
        assert gateway.wait() == -signal.SIGKILL
    assert upstream.stats().calls == calls
    with make_gateway(upstream, tmp_path) as gateway:
        progress = wait_until_ended(gateway, child)
        assert (progress["succeeded"], progress["reused"]) == (REQUESTS, REQUESTS - len(CHANGED))
        with urlopen(f"{gateway.url}{BATCHES}/{child}/results") as response:
            results = [json.loads(line) for line in response]
        assert [line["custom_id"] for line in results] == [f"r{number}" for number in range(REQUESTS)]
        texts = [line["result"]["message"]["content"][0]["text"] for line in results]
        assert texts == [f"You said: {prompt}" for prompt in prompts]
        assert upstream.stats().calls == calls + len(CHANGED)
        check_no_storage_leaks(tmp_path)
