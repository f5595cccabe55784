"""Fixtures of the integration tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.bodies import Bodies
from tests.support.databases import DATABASES, Kind, a_database
from tests.support.object_server import ObjectServer, object_server
from tests.support.running_app import RunningApp, running_app

ON_BOTH_DATABASES = {
    "test_batch_files",
    "test_endings",
    "test_every_dialect",
    "test_files",
    "test_idempotent_create",
    "test_lifecycle",
    "test_odd_texts",
    "test_openai_batches",
    "test_paging",
    "test_unified_batches",
}
"""Modules whose tests of `gateway` run on PostgreSQL as well."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules on each database."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if "gateway" in metafunc.fixturenames and module in ON_BOTH_DATABASES:
        metafunc.parametrize("gateway", DATABASES, indirect=True)


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[ObjectServer]:
    """Run a server that speaks the protocol of S3."""
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def bodies(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gateways keep bodies in their data folders, or, where a module asks for both, in a bucket."""
    if getattr(request, "param", "folder") == "bucket":
        server: ObjectServer = request.getfixturevalue("bucket_server")
        monkeypatch.setattr(server, "prefix", f"gate/{tmp_path.name}")
        monkeypatch.setattr(Bodies, "server", server)


@pytest.fixture
async def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a simulator account that answers at once."""
    kind: Kind = getattr(request, "param", "sqlite")
    with a_database(kind, tmp_path / "data") as database:
        async with running_app(tmp_path / "data", database_url=database.url) as app:
            yield app


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway look again, and wait for a lock, for a moment instead of seconds."""
    for name in (
        "engine.dispatch.shard_run.STORAGE_RETRY",
        "engine.dispatch.worker.STORAGE_RETRY",
        "engine.support.batch_tasks.MIN_RETRY_DELAY",
        "engine.lifecycle.sweeper.INTERVAL",
        "engine.storage.storage_probe.INTERVAL",
        "store.sqlite.connection.BUSY_TIMEOUT",
    ):
        monkeypatch.setattr(f"batchgate.{name}", 0.05)
