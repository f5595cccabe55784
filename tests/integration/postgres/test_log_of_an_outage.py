"""A database that is away is told once, in a line, and once that it is back: the log stays readable meanwhile."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.postgres_server import dedicated_server

PATIENCE = 60.0  # seconds


def lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Read the whole lines of its log."""
    return [json.loads(line) for line in gateway.log.splitlines(keepends=True) if line.endswith("\n")]


def wait_for(gateway: GatewayProcess, **numbers: int) -> None:
    """Wait until actions have been logged as often as that, or more often."""
    deadline = time.monotonic() + PATIENCE
    while Counter(line["action"] for line in lines(gateway)) & Counter(numbers) != Counter(numbers):
        assert time.monotonic() < deadline, gateway.log
        time.sleep(0.05)


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_is_over(tmp_path: Path) -> None:
    with dedicated_server() as server:
        settings = f'database_url = "{server.url()}"\nworker_heartbeat_timeout = 3\n{SIMULATOR}'
        options = ("--log-format", "json")
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings, options=options) as gateway:
            server.kill()
            # The store gives up after five seconds, in which the rest is tried again and again.
            wait_for(gateway, deaf=1, not_seen=1, problem=2)
            server.start()
            wait_for(gateway, hears_again=1, seen_again=1)
    found = Counter(line["action"] for line in lines(gateway))
    once = ("deaf", "not_seen", "hears_again", "seen_again")
    assert {name: found[name] for name in once} == dict.fromkeys(once, 1)
    assert found["log"] == 0, "what libraries say of it is said by ourselves"
    said = [line["message"] for line in lines(gateway)]
    assert [message for message in said if "Timeout" in message or "\n" in message] == []
    assert "queue: the queue does not answer as it should: there is no connection to the database" in said
