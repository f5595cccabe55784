"""Public responses of a gateway disclose nothing about the machine on which it runs."""

from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from batchgate.settings import AccountSettings
from tests.support.health import problem_texts
from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp, running_app


async def test_health_names_an_unreadable_blob_but_not_its_path_on_the_machine(tmp_path: Path) -> None:
    # The provider is unreachable, so that no request has a response when the batch is canceled.
    accounts = {"down": AccountSettings(provider="openai", base_url=f"http://127.0.0.1:{unused_port()}/v1")}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await app.create("a")
        (tmp_path / "blobs" / "batches" / batch["id"] / "input.jsonl").unlink()
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        problems: list[str] = []
        while not problems:
            _, health = await app.call("GET", "/health")
            problems = [problem for problem in problem_texts(health) if "input.jsonl" in problem]
    reason = f"batches/{batch['id']}/input.jsonl: No such file or directory"
    assert all(problem.endswith(f": {reason}") for problem in problems)
    assert str(tmp_path) not in str(problems)


@pytest.mark.parametrize("path", ["/health", BATCHES, "/nowhere", "/bad request"])
async def test_no_response_names_the_version_of_the_server(gateway: RunningApp, path: str) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await connection.read_response()
    assert answer.headers["Server"] == "batchgate"
