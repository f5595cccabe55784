"""A batch that was running before failures were kept has those of its later results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgate.engine.model.failure import Failure, failure_groups
from batchgate.engine.model.usage import Counts
from tests.integration.test_migrations import BATCH_BEFORE_LANE_COSTS, migrate_until, run_statements
from tests.support.databases import DATABASES, Database, new_bare_database


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Make a database of each kind without any tables."""
    with new_bare_database(request.param, tmp_path) as database:
        yield database


async def test_a_running_batch_from_before_failures_were_kept_has_those_of_its_later_results(
    database: Database, tmp_path: Path
) -> None:
    migrate_until(database, "0016", tmp_path)
    batch_alone, _, _ = BATCH_BEFORE_LANE_COSTS.format(true="").partition("INSERT INTO native_jobs")
    run_statements(database, batch_alone)
    failures = failure_groups([(1, Failure(kind="api_error", message="broken", custom_id="r1"))])
    async with database.store() as store:
        batch = await store.find_batch("w", "a")
        assert batch is not None
        assert await store.failures_of(batch.key) == ()
        await store.add_orphan_blob("r")
        counts = Counts(total=2, succeeded=1, errored=1)
        assert await store.end_batch(
            batch.key, counts=counts, results_blob="r", results_size=5, now=7, unfinished=failures[0]
        )
        assert await store.failures_of(batch.key) == failures
