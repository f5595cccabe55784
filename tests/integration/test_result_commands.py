"""``batchgate results`` and ``wait``: batches of other APIs, batches that run, and batches that do not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.command import SLOW_SETTINGS, batchgate, submit_batch
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SIMULATOR) as process:
        yield process


def create_chat_batch(gateway: GatewayProcess) -> str:
    """Create a batch of the unified API in which the request ``good`` succeeds and the request ``bad`` fails."""
    messages = [{"role": "user", "content": "Hello"}]
    bodies = {"good": {"model": "m", "messages": messages}, "bad": {"model": "nobody/m", "messages": messages}}
    requests = [{"custom_id": name, "url": "/v1/chat/completions", "body": body} for name, body in bodies.items()]
    create = Request(
        f"{gateway.url}/v1/batches",
        data=json.dumps({"requests": requests}).encode(),
        headers={"content-type": "application/json"},
    )
    with urlopen(create) as response:
        return str(json.load(response)["id"])


def test_results_have_the_format_of_the_api_that_created_the_batch(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = create_chat_batch(gateway)
    waited = batchgate(tmp_path, "wait", batch_id, "--output", "all.jsonl", gateway=gateway)
    assert waited.returncode == 3
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(line["custom_id"], line["response"]["status_code"]) for line in lines] == [("good", 200), ("bad", 404)]
    assert lines[0]["response"]["body"]["choices"][0]["message"]["content"] == "You said: Hello"
    saved = batchgate(tmp_path, "results", batch_id, "--output", "again.jsonl", "--json", gateway=gateway).stdout
    assert (json.loads(saved)["id"], json.loads(saved)["processing_status"]) == (batch_id, "ended")
    failed = batchgate(tmp_path, "results", batch_id, "--failed", gateway=gateway).stdout
    assert [json.loads(line)["custom_id"] for line in failed.splitlines()] == ["bad"]


def test_results_of_a_running_batch_are_refused_with_the_command_that_waits(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway:
        batch_id = submit_batch(tmp_path, gateway, "a")
        done = batchgate(tmp_path, "results", batch_id, gateway=gateway)
        gateway.kill()
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"{batch_id} is in_progress: it has results once it has ended. To wait: batchgate wait {batch_id}"
    assert done.stderr == f"Error: {expected} --output FILE; for the results so far, add --partial\n"


def test_waiting_for_a_batch_that_does_not_exist_promises_no_results(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "wait", "nonsense", gateway=gateway)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no batch 'nonsense' in this workspace.")
    assert "continues" not in done.stderr


@pytest.mark.parametrize("time", ["tomorrow", "5s", "12H", "1.5h", "2026-11-30", "99999999999d"])
def test_a_deadline_that_is_no_time_is_refused_with_an_example(tmp_path: Path, time: str) -> None:
    done = batchgate(tmp_path, "extend", "any", "--at", time)
    assert done.returncode == 2
    assert f"Invalid value for --at: {time}" in done.stderr.replace("'", "")
