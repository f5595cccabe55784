"""Fixtures of the integration tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.blob_storage import BlobStorage
from tests.support.databases import DATABASES, DatabaseKind, new_database
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
"""Modules whose tests with the fixture `gateway` also run on PostgreSQL."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the modules in `ON_BOTH_DATABASES` on each database."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if "gateway" in metafunc.fixturenames and module in ON_BOTH_DATABASES:
        metafunc.parametrize("gateway", DATABASES, indirect=True)


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[ObjectServer]:
    """Run an S3-compatible server."""
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def blob_storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make gateways store blobs in their data folders, or in a bucket if a module is parametrized with both."""
    if getattr(request, "param", "folder") == "bucket":
        server: ObjectServer = request.getfixturevalue("bucket_server")
        monkeypatch.setattr(server, "prefix", f"gate/{tmp_path.name}")
        monkeypatch.setattr(BlobStorage, "server", server)


@pytest.fixture
async def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a simulator account that answers at once."""
    kind: DatabaseKind = getattr(request, "param", "sqlite")
    with new_database(kind, tmp_path / "data") as database:
        async with running_app(tmp_path / "data", database_url=database.url) as app:
            yield app


@pytest.fixture
def short_retry_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the gateway retry and check at intervals of milliseconds instead of seconds, and wait briefly for locks."""
    for name in (
        "engine.dispatch.shard_run.STORAGE_RETRY",
        "engine.dispatch.worker.STORAGE_RETRY",
        "engine.support.batch_task_queue.MIN_RETRY_DELAY",
        "engine.lifecycle.sweeper.INTERVAL",
        "engine.storage.storage_probe.INTERVAL",
        "store.sqlite.connection.BUSY_TIMEOUT",
    ):
        monkeypatch.setattr(f"batchgate.{name}", 0.05)
