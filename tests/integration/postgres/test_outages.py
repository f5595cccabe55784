"""The server is killed and restarted: acknowledged work is stored, other work is stored completely or not at all."""

import asyncio
import random
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import psycopg
import pytest

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import ConfigurationError, StoreError
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support.postgres_server import PostgresServer, dedicated_server
from tests.support.stored_rows import chunk, claimed, create, end

SHARDS = 3
COMPLETE = f"""
SELECT id FROM batches
WHERE open_shards = {SHARDS}
    AND (SELECT count(*) FROM shards WHERE batch_key = key) = {SHARDS}
    AND (SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'batch_key' = key::text) = {SHARDS}
    AND NOT EXISTS (SELECT 1 FROM loose_blobs WHERE name = input_blob)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server that the test may kill."""
    with dedicated_server() as server:
        yield server


@pytest.fixture
async def store(server: PostgresServer) -> AsyncIterator[PostgresStore]:
    """Open a store on a new database."""
    name = f"outage_{time.monotonic_ns()}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    async with PostgresStore(PostgresAddress(server.url(name))) as store:
        yield store


async def restart(server: PostgresServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(random.uniform(0, 0.3))  # an outage of random length
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("_round", range(2))
async def test_acknowledged_batches_are_stored_and_others_are_stored_completely_or_not_at_all(
    server: PostgresServer, store: PostgresStore, _round: int
) -> None:
    random.seed(seed := random.randrange(10**6))
    print("seed", seed)
    acknowledged: list[str] = []
    attempted: list[str] = []
    target_reached, restarted = asyncio.Event(), asyncio.Event()

    async def create_on(worker: int) -> None:
        number, more = 0, 1
        while more:
            name, number = f"b{worker}-{number}", number + 1
            attempted.append(name)
            with suppress(StoreError):
                await create(store, name, shards=SHARDS)
                acknowledged.append(name)
                more -= restarted.is_set()
                if len(acknowledged) > 40:
                    target_reached.set()

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(create_on(worker))
        await target_reached.wait()
        await restart(server)
        restarted.set()
    with psycopg.connect(store._address.conninfo) as connection:
        stored = {name for (name,) in connection.execute("SELECT id FROM batches")}
        assert stored == {name for (name,) in connection.execute(COMPLETE.encode())}
        jobs = connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
    assert set(acknowledged) <= stored <= set(attempted)
    assert jobs == (SHARDS * len(stored),)


@pytest.mark.parametrize("_round", range(2))
async def test_results_count_once_although_the_responses_to_some_writes_are_lost(
    server: PostgresServer, store: PostgresStore, _round: int
) -> None:
    # A worker cannot know if the server went down before or after the commit, so it writes again.
    random.seed(seed := random.randrange(10**6))
    print("seed", seed)
    batch, jobs = await create(store, "a", shards=4)
    claims = [await claimed(store, job) for job in jobs]
    written, target_reached, restarted = 0, asyncio.Event(), asyncio.Event()

    async def write_results(claim: Claim, results: ResultChunk, *, last: bool) -> bool:
        while True:
            with suppress(StoreError):
                return await store.append_chunk(claim, results, shard_done=last)

    async def run(claim: Claim) -> bool:
        nonlocal written
        seq, last = 1000 * claim.shard.index, False
        while not last:
            last = restarted.is_set()
            finalizable = await write_results(claim, chunk(seq), last=last)
            seq, written = seq + 1, written + 1
            if written > 100:
                target_reached.set()
        return finalizable

    async def restart_server() -> None:
        await target_reached.wait()
        await restart(server)
        restarted.set()

    async with asyncio.timeout(120):
        *finalizable, _ = await asyncio.gather(*map(run, claims), restart_server())
    assert sorted(map(bool, finalizable)) == [False, False, False, True]
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts == Counts(total=8, succeeded=written)
    chunks = [results for claim in claims for results in await store.read_chunks(batch.key, claim.shard.index)]
    assert sum(len(results.seqs) for results in chunks) == written
    await end(store, batch, [])


async def test_marks_neither_block_nor_raise_during_an_outage_and_are_written_after_it(
    server: PostgresServer, store: PostgresStore
) -> None:
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await asyncio.to_thread(server.kill)
    try:
        store.mark_sent(claim, 1, sent=True)
        with pytest.raises(StoreError):
            await store.append_chunk(claim, chunk(0), shard_done=False)
    finally:
        await asyncio.to_thread(server.start)
    async with PostgresStore(store._address) as other, asyncio.timeout(120):
        while not (await claimed(other, job)).sent:  # marks from before this claim may still be written once
            claim = await claimed(store, job)
            store.mark_sent(claim, 1, sent=True)
            await asyncio.sleep(0.2)


async def test_an_idle_connection_that_was_closed_is_replaced_silently(
    server: PostgresServer, store: PostgresStore
) -> None:
    await create(store, "a")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'batchgate'"
        )
        assert all(done for (done,) in cut.fetchall())
    await store.add_orphan_blob("b")
    await create(store, "c")
    assert await store.find_batch("w", "a") is not None


SECRET = "s3cret-word"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}@no-such-host.invalid/db",
        f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
        f"postgresql://u:{SECRET}@127.0.0.1:port/db",
        f"postgresql://u:%zz{SECRET}@127.0.0.1/db",
        f"postgresql://u:x@{SECRET}@127.0.0.1/db",
        f"postgresql://u:x/{SECRET}@127.0.0.1/db",
        f"postgresql://u@127.0.0.1/db?{SECRET}=x",
    ],
)
async def test_no_error_quotes_the_password(url: str) -> None:
    with pytest.raises((ConfigurationError, StoreError)) as caught:
        async with PostgresStore(PostgresAddress(url)):
            pass
    assert SECRET not in "".join(traceback.format_exception(caught.value))
