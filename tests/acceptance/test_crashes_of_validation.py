"""A gateway that is killed while it creates a batch from a file completes the batch after a restart."""

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai import OpenAI

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.storage_leaks import check_no_storage_leaks

REQUESTS = 700
"""Two shards."""
ENDS_WITHIN = 120.0  # seconds; only a batch that never ends should exceed it
STEPS = ["file_submitted", "file_validated", "batch_begun", "result_file_written", "batch_marked"]


def make_gateway(data_dir: Path, failpoints: str = "") -> GatewayProcess:
    settings = f"{SIMULATOR}simulator.latency = 0.0\n"
    return GatewayProcess(data_dir=data_dir, settings=settings, environment={"BATCHGATE_FAILPOINTS": failpoints})


def openai_client(gateway: GatewayProcess) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/openai/v1", api_key="any", max_retries=0)


def input_file(*, invalid_last_line: bool = False) -> bytes:
    body = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = [msgspec.json.encode({"custom_id": f"r{number}"} | line) for number in range(REQUESTS)]
    return b"\n".join([*lines, b"{"] if invalid_last_line else lines)


def submit(client: OpenAI, content: bytes) -> None:
    """Upload a file and create its batch; the gateway may be killed before it acknowledges the batch."""
    file = client.files.create(file=("a.jsonl", content), purpose="batch")
    with suppress(openai.APIConnectionError):
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def wait_until_terminal(client: OpenAI) -> Any:
    """Poll the only batch until its status is terminal."""
    deadline = time.monotonic() + ENDS_WITHIN
    while (batch := client.batches.list().data[0]).status not in {"completed", "failed"}:
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


@pytest.mark.parametrize("step", STEPS)
def test_a_gateway_killed_at_a_step_completes_the_batch_of_the_file_after_a_restart(tmp_path: Path, step: str) -> None:
    with make_gateway(tmp_path, f"{step}=kill") as gateway, openai_client(gateway) as client:
        submit(client, input_file())
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(tmp_path) as gateway, openai_client(gateway) as client:
        batch = wait_until_terminal(client)
        assert (batch.status, batch.request_counts.completed) == ("completed", REQUESTS)
        lines = client.files.content(batch.output_file_id).text.splitlines()
        assert [msgspec.json.decode(line)["custom_id"] for line in lines] == [f"r{n}" for n in range(REQUESTS)]
        assert [file.purpose for file in client.files.list()] == ["batch_output", "batch"]
        check_no_storage_leaks(tmp_path)


def test_a_gateway_killed_after_it_found_an_invalid_line_reports_that_line_after_a_restart(tmp_path: Path) -> None:
    with make_gateway(tmp_path, "file_validated=kill") as gateway, openai_client(gateway) as client:
        submit(client, input_file(invalid_last_line=True))
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(tmp_path) as gateway, openai_client(gateway) as client:
        batch = wait_until_terminal(client)
        assert [(error.line, error.code) for error in batch.errors.data] == [(REQUESTS + 1, "invalid_json_line")]
        check_no_storage_leaks(tmp_path)
