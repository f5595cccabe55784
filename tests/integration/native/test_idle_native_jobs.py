"""A process asks again and again for native jobs that others have planned only where an account has a batch API."""

from pathlib import Path

import pytest

from batchgate import installation
from batchgate.account_settings import AccountSettings
from batchgate.engine.native import native_jobs
from batchgate.engine.ports.cluster import SingleProcess
from tests.support.running_app import RunningApp, running_app, simulator

NATIVE = AccountSettings(provider="openai", base_url="http://127.0.0.1:9", api_key="any", lane="auto")


class AskingProcess(SingleProcess):
    """Counts how often the lease of native jobs is asked for."""

    asked = 0

    async def acquire_lease(self, name: str) -> bool:
        """Return True."""
        self.asked += name == native_jobs.LEASE
        return await super().acquire_lease(name)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> AskingProcess:
    monkeypatch.setattr(native_jobs, "INTERVAL", 0.001)
    asking = AskingProcess()
    monkeypatch.setattr(installation, "SingleProcess", lambda: asking)
    return asking


async def make_calls(app: RunningApp) -> None:
    for _ in range(50):
        await app.call("GET", "/health")


async def test_a_process_without_a_batch_api_asks_for_native_jobs_once(tmp_path: Path, process: AskingProcess) -> None:
    async with running_app(tmp_path, accounts={"simulator": simulator()}) as app:
        await make_calls(app)
    assert process.asked == 1


async def test_a_process_with_a_batch_api_asks_for_native_jobs_all_the_time(
    tmp_path: Path, process: AskingProcess
) -> None:
    async with running_app(tmp_path, accounts={"openai": NATIVE}) as app:
        await make_calls(app)
    assert process.asked > 1
