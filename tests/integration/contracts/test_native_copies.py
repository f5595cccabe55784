"""A copy of a database to one of the other kind has the plans and jobs of the native lane."""

from contextlib import AbstractContextManager
from pathlib import Path

from batchgate.store.postgres import PostgresAddress
from batchgate.store.postgres.tables import PostgresTables
from batchgate.store.sqlite.tables import SqliteTables
from batchgate.store.tables import TableWriter
from batchgate.transfer.row_copy import compare_rows, copy_rows, shared_tables
from tests.support.databases import Database, new_database
from tests.support.native_jobs import ended, planned_with, unplanned
from tests.support.stored_rows import chunk, claimed


def tables_of(database: Database, *, writable: bool) -> AbstractContextManager[TableWriter]:
    if database.url is None:
        return SqliteTables(database.path, writable=writable).open()
    return PostgresTables(PostgresAddress(database.url), writable=writable).open()


def copy(source: Database, target: Database) -> None:
    with tables_of(source, writable=False) as rows, tables_of(target, writable=True) as new_rows:
        tables = shared_tables(rows, new_rows)
        copy_rows(rows, new_rows, tables, print)
        assert [found.difference for found in compare_rows(rows, new_rows, tables, print)] == [None] * len(tables)
        new_rows.commit()


async def test_a_copied_database_has_its_plans_held_shards_and_jobs(database: Database, tmp_path: Path) -> None:
    with new_database("sqlite" if database.kind == "postgres" else "postgres", tmp_path / "other") as other:
        async with database.store() as store:
            waiting = await unplanned(store, "a")
            batch, jobs = await planned_with(store, "b", [(1, 2), (3,)], direct=[0], shards=2)
            assert await store.hold_shard(await claimed(store, jobs[0])) is True
            first, second = await store.take_jobs()
            await store.append_native_results(first, {1: chunk(2)})
        copy(database, other)
        async with other.store() as store:
            assert await store.unplanned_batches() == [waiting.key]
            assert await store.unfinished_jobs() == []
            assert list(await store.jobs_of(batch.key)) == [first, second]
            assert [job.shard for job in await store.end_job(ended(first))] == [0, 1]
            claim = await claimed(store, jobs[0])
            assert (claim.finished, claim.withheld) == (frozenset(), frozenset())
            assert await store.finished_of(second) == {2}
            later, _ = await planned_with(store, "c", [(0,)], direct=[])
            assert (await store.jobs_of(later.key))[0].key > second.key
