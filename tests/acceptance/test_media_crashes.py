"""A gateway that is killed while tasks run or audio arrives finishes the batch after a restart, and pays once.

Only a create whose answer was not stored yet is repeated, as any other call is.
"""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import APIConnectionError, OpenAI

from batchgate.providers.simulator.media.tasks import MediaJournal
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import check_no_storage_leaks

VIDEO = "/v1/text_to_video"
SPEAK = "/v1/text-to-speech/{voice_id}"
VOICE = "/v1/text-to-speech/voice"
ENDS_WITHIN = 60.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0") as simulated:
        request = urllib.request.Request(f"{simulated.url}/simulator/media", data=b'{"polls":1}', method="PUT")
        with urllib.request.urlopen(request):
            yield simulated


def make_gateway(upstream: SimulatedUpstream, data_dir: Path, failpoints: str = "") -> GatewayProcess:
    settings = "\n".join(
        f'[accounts.{name}]\nprovider = "{name}"\nbase_url = "{upstream.url}/{name}"\napi_key = "key"'
        for name in ("runway", "elevenlabs")
    )
    return GatewayProcess(data_dir=data_dir, settings=settings, environment={"BATCHGATE_FAILPOINTS": failpoints})


def client(gateway: GatewayProcess) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/openai/v1", api_key="any", max_retries=0)


def submit(openai: OpenAI, provider: str, endpoint: str, url: str, **body: Any) -> str | None:
    """Submit one request; return None if a kill prevented the acknowledgement."""
    row = msgspec.json.encode({"custom_id": "a", "method": "POST", "url": url, "body": body}) + b"\n"
    file = openai.files.create(file=("rows.jsonl", row), purpose="batch")
    try:
        batch = openai.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,  # type: ignore[arg-type]
            completion_window="24h",
            extra_body={"provider": provider},
        )
    except APIConnectionError:
        return None
    return batch.id


def result(openai: OpenAI, batch_id: str) -> dict[str, Any]:
    """Wait for the end of a batch, and return the body of its only answer."""
    deadline = time.monotonic() + ENDS_WITHIN
    while (batch := openai.batches.retrieve(batch_id)).status != "completed":
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    assert batch.output_file_id is not None, batch
    (line,) = openai.files.content(batch.output_file_id).content.splitlines()
    body = msgspec.json.decode(line)["response"]["body"]
    assert isinstance(body, dict)
    return body


def journal(upstream: SimulatedUpstream) -> MediaJournal:
    with urllib.request.urlopen(f"{upstream.url}/simulator/media") as response:
        return msgspec.json.decode(response.read(), type=MediaJournal)


@pytest.mark.parametrize(
    ("step", "creates"), [("task_stored=kill", 1), ("chunk_half_flushed=kill", 1), ("task_created=kill", 2)]
)
def test_a_stored_task_is_not_created_again_after_a_kill(
    upstream: SimulatedUpstream, tmp_path: Path, step: str, creates: int
) -> None:
    before = journal(upstream)
    with make_gateway(upstream, tmp_path, step) as gateway, client(gateway) as openai:
        batch_id = submit(openai, "runway", VIDEO, VIDEO, model="gen4_turbo", promptText="a fox")
        assert gateway.wait() == -signal.SIGKILL
    assert batch_id is not None
    with make_gateway(upstream, tmp_path) as gateway, client(gateway) as openai:
        assert result(openai, batch_id)["status"] == "SUCCEEDED"
        check_no_storage_leaks(tmp_path)
    assert len(journal(upstream).tasks) - len(before.tasks) == creates


@pytest.mark.parametrize("step", ["output_written=kill", "chunk_half_flushed=kill"])
def test_audio_whose_result_was_not_stored_leaves_no_file_after_a_kill(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    before = journal(upstream)
    with make_gateway(upstream, tmp_path, step) as gateway, client(gateway) as openai:
        batch_id = submit(openai, "elevenlabs", SPEAK, VOICE, text="Hello")
        assert gateway.wait() == -signal.SIGKILL
    assert batch_id is not None
    with make_gateway(upstream, tmp_path) as gateway, client(gateway) as openai:
        said = result(openai, batch_id)
        assert len(openai.files.content(said["file_id"]).content) == said["bytes"] == 4096
        check_no_storage_leaks(tmp_path)
    assert journal(upstream).audio_calls - before.audio_calls == 2
