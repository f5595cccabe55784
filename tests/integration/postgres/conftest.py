"""Fixtures: two stores on one PostgreSQL database, and a connection that observes it."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support.database_observer import DatabaseObserver
from tests.support.postgres_server import fresh_database


@pytest.fixture
def url() -> Iterator[str]:
    """Provide a migrated, empty database."""
    with fresh_database() as url:
        yield url


@pytest.fixture
async def stores(url: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Open two stores, as two gateways would."""
    async with PostgresStore(PostgresAddress(url)) as first, PostgresStore(PostgresAddress(url)) as second:
        yield first, second


@pytest.fixture
def observer(url: str) -> Iterator[DatabaseObserver]:
    """Observe the database over a connection of its own."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield DatabaseObserver(connection)
