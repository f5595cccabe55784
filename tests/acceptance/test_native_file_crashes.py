"""A batch whose requests come in a file is planned after the file was validated; a kill in between loses nothing."""

import signal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.native_crashes import IDS, TOKENS, NativeCrashes, native_crashes
from tests.support.openai_batches import BATCHES, chat_line, create_body, download_lines, jsonl
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

HEADERS = {"Idempotency-Key": "the only batch"}
STEPS: list[tuple[str, ...]] = [
    ("file_submitted", "file_validated", "native_grouped", "native_planned"),
    ("file_validated", "native_uploading", "native_created", "native_ended"),
]


@pytest.fixture(scope="module")
def upstream() -> Any:
    with simulated_upstream(
        "--latency", "0", "--output-tokens", str(TOKENS), "--batches", "--speed", "60"
    ) as simulated:
        yield simulated


async def upload(suite: NativeCrashes, url: str) -> str:
    """Upload the file, and return its id."""
    form = aiohttp.FormData({"purpose": "batch"})
    content = jsonl(*[chat_line(custom_id, custom_id, model="m") for custom_id in IDS])
    form.add_field("file", content, filename="requests.jsonl")
    async with suite.providers.http.post(f"{url}/openai/v1/files", data=form) as answer:
        file = await answer.json()
        assert answer.status == 200, file
        return str(file["id"])


async def create(suite: NativeCrashes, url: str, file_id: str) -> str | None:
    """Create the batch; return None if a kill prevented the acknowledgement."""
    body = msgspec.json.encode(create_body(file_id))
    headers = HEADERS | {"Content-Type": "application/json"}
    try:
        async with suite.providers.http.post(url + BATCHES, data=body, headers=headers) as answer:
            batch = await answer.json()
            assert answer.status == 200, batch
            return str(batch["id"])
    except aiohttp.ClientError:
        return None


@pytest.mark.parametrize("steps", STEPS)
async def test_a_gateway_killed_at_steps_of_a_batch_from_a_file_finishes_it_after_a_restart(
    upstream: SimulatedUpstream, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    async with native_crashes(upstream, "openai", tmp_path) as suite:
        with suite.gateway() as gateway:
            file_id = await upload(suite, gateway.url)
        for number, step in enumerate(steps):
            with suite.gateway(step) as gateway:
                if number == 0:
                    await create(suite, gateway.url, file_id)
                assert gateway.wait() == -signal.SIGKILL
            await suite.providers.advance(60)
            await suite.read_journal()
        async with suite.last_gateway() as last:
            batch_id = await create(suite, last.app.url, file_id)
            assert batch_id is not None
            while (await last.app.call("GET", f"{BATCHES}/{batch_id}"))[1]["status"] != "completed":
                await suite.read_journal()
                await last.pass_time()
            _, batch = await last.app.call("GET", f"{BATCHES}/{batch_id}")
            assert batch["request_counts"] == {"total": len(IDS), "completed": len(IDS), "failed": 0}
            lines = await download_lines(last.app, batch["output_file_id"])
            assert [line["custom_id"] for line in lines] == IDS
            await suite.check_jobs(last, batch_id, paid=len(IDS))
