"""What the contract suites are run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchgate.engine.ports import Store
from batchgate.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with SqliteStore(tmp_path / "store.db") as store:
        yield store
