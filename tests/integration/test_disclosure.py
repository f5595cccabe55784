"""What a gateway tells anybody who asks says nothing of the machine that it runs on."""

from pathlib import Path

import pytest

from batchgate.settings import AccountSettings
from tests.support.raw_http import connected
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator


async def test_health_names_the_body_that_cannot_be_read_and_not_where_it_lies(tmp_path: Path) -> None:
    accounts: dict[str, AccountSettings] = {"simulator": simulator(), "busy": simulator(latency=60.0)}
    async with running_app(tmp_path, accounts=accounts, shutdown_grace=0.0) as app:
        headers = {"x-model-provider": "busy"}
        _, batch = await app.call("POST", BATCHES, json=create_body("a"), headers=headers)
        (tmp_path / "blobs" / "batches" / batch["id"] / "input.jsonl").unlink()
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        problems: list[str] = []
        while not problems:
            problems = (await app.call("GET", "/health"))[1]["problems"]
    reason = f"batches/{batch['id']}/input.jsonl: No such file or directory"
    assert all(problem.endswith(f": {reason}") for problem in problems)
    assert str(tmp_path) not in str(problems)


@pytest.mark.parametrize("path", ["/health", BATCHES, "/nowhere", "/bad request"])
async def test_no_answer_names_the_versions_of_what_serves_it(gateway: RunningApp, path: str) -> None:
    async with connected(gateway.url) as connection:
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await connection.answer()
    assert answer.headers["Server"] == "batchgate"
