"""Fixtures of the integration tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.running_app import RunningApp, running_app


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a simulator account that answers at once."""
    async with running_app(tmp_path / "data") as app:
        yield app


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway look again, and wait for a lock, for a moment instead of seconds."""
    waits = ("engine.shard_run.STORAGE_RETRY", "engine.errands.SHORTEST_REST", "engine.worker.STORAGE_RETRY")
    for name in (
        *waits,
        "engine.sweeper.INTERVAL",
        "engine.storage_probe.INTERVAL",
        "store.sqlite.connection.BUSY_TIMEOUT",
    ):
        monkeypatch.setattr(f"batchgate.{name}", 0.05)
