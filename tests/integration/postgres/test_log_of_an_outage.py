"""An outage of the database is logged in one line when it begins and one when it ends."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.postgres_server import dedicated_server

TEST_TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it


def lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Return the complete lines of the gateway's log."""
    return [json.loads(line) for line in gateway.log.splitlines(keepends=True) if line.endswith("\n")]


def wait_for(gateway: GatewayProcess, **counts: int) -> None:
    """Wait until each action has been logged at least as often as given."""
    deadline = time.monotonic() + TEST_TIMEOUT
    while Counter(line["action"] for line in lines(gateway)) & Counter(counts) != Counter(counts):
        assert time.monotonic() < deadline, gateway.log
        time.sleep(0.05)


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(tmp_path: Path) -> None:
    with dedicated_server() as server:
        settings = f'database_url = "{server.url()}"\nworker_heartbeat_timeout = 3\n{SIMULATOR}'
        options = ("--log-format", "json")
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings, options=options) as gateway:
            server.kill()
            # The store fails after five seconds; meanwhile the other components retry.
            wait_for(gateway, listen_lost=1, heartbeat_failed=1, component_unhealthy=2)
            server.start()
            wait_for(gateway, listen_restored=1, heartbeat_restored=1)
    found = Counter(line["action"] for line in lines(gateway))
    once = ("listen_lost", "heartbeat_failed", "listen_restored", "heartbeat_restored")
    assert {name: found[name] for name in once} == dict.fromkeys(once, 1)
    assert found["log"] == 0, "no messages of libraries"
    messages = [line["message"] for line in lines(gateway)]
    assert [message for message in messages if "Timeout" in message or "\n" in message] == []
    assert "queue: the queue failed: no connection to the database" in messages
