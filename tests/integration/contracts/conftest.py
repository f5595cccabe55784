"""Fixtures of the contract suites: every kind of database, and a store on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from batchgate.engine.ports.store import Store
from tests.support.databases import DATABASES, Database, new_database


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Make an empty database of each kind."""
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """Open a store on it."""
    async with database.store() as store:
        yield store
