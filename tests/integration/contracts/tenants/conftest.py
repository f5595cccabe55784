"""The store of the contract tests of `TenantStore`."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.contracts.tenants.stored_rows import NOW, AnyStore
from tests.support.databases import Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[AnyStore]:
    """Open a store with the workspaces ``w`` and ``v``."""
    async with database.store() as store:
        await store.tenants.ensure_workspaces(["w", "v"], NOW)
        yield store
