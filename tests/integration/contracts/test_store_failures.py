"""The contract of a store for the failures of batches, on every database."""

import msgspec
import pytest

from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.failure import (
    MAX_GROUPS,
    FailedRequest,
    Failure,
    FailureGroup,
    FailureKind,
    failure_groups,
    unfinished_group,
)
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from tests.support.databases import Database
from tests.support.native_jobs import ended, planned_with, taken
from tests.support.stored_rows import chunk, claimed, create, end

ODD_ID = 'zero \0, quote " and a line\u2028end'


def failed(*seqs: int, message: str = "too long: {}", kind: FailureKind = "invalid_request_error") -> ResultChunk:
    """Return a chunk of failed requests."""
    failures = [(seq, Failure(kind=kind, message=message.format(seq), custom_id=f"{ODD_ID} {seq}")) for seq in seqs]
    return msgspec.structs.replace(chunk(*seqs, errored=len(seqs)), failures=failure_groups(failures))


def group(*seqs: int) -> FailureGroup:
    """Return the group of failed requests as the store keeps it."""
    (found,) = failed(*seqs).failures
    return found


async def test_failures_are_added_up_chunk_by_chunk_and_read_back(store: Store) -> None:
    batch, jobs = await create(store, "a", shards=2)
    other, _ = await create(store, "b")
    assert await store.failures_of(batch.key) == ()
    for job in reversed(jobs):
        claim = await claimed(store, job)
        first, second = claim.shard.seqs
        await store.append_chunk(claim, failed(second), shard_done=False)
        await store.append_chunk(claim, failed(first), shard_done=True)
    assert await store.failures_of(batch.key) == (group(0, 1, 2, 3),)
    assert await store.failures_of(other.key) == ()


async def test_a_chunk_that_is_not_stored_adds_no_failures(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    stale, current = await claimed(store, job), await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, failed(0), shard_done=False)
    assert await store.failures_of(batch.key) == ()
    await store.append_chunk(current, failed(0), shard_done=False)
    assert await store.failures_of(batch.key) == (group(0),)


async def test_failures_survive_a_restart(database: Database) -> None:
    async with database.store() as store:
        batch, (job,) = await create(store, "a")
        await store.append_chunk(await claimed(store, job), failed(0), shard_done=False)
    async with database.store() as store:
        await store.append_chunk(await claimed(store, job), failed(1), shard_done=True)
        assert await store.failures_of(batch.key) == (group(0, 1),)


async def test_patterns_beyond_the_limit_are_summed_up(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    messages = [f"{chr(ord('A') + number // 26)}{chr(ord('a') + number % 26)}" for number in range(MAX_GROUPS + 9)]
    for seq, some in enumerate((messages[:30], messages[30:])):
        failures = tuple(found for message in some for found in failed(seq, message=message).failures)
        added = msgspec.structs.replace(chunk(seq, errored=1), failures=failures)
        await store.append_chunk(claim, added, shard_done=False)
    groups = await store.failures_of(batch.key)
    assert [found.pattern for found in groups] == [*messages[:MAX_GROUPS], None]
    assert groups[-1].count == 9


async def test_the_requests_without_a_result_are_added_at_the_end_once(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    await store.append_chunk(await claimed(store, job), failed(1), shard_done=True)
    await store.add_orphan_blob("r")
    unfinished = unfinished_group("canceled", 1, [FailedRequest(0, "r0")])
    assert unfinished is not None
    counts = Counts(total=2, errored=1, canceled=1)
    for is_first in (True, False):
        done = await store.end_batch(
            batch.key, counts=counts, results_blob="r", results_size=5, now=7, unfinished=unfinished
        )
        assert done is is_first
    assert await store.failures_of(batch.key) == (group(1), unfinished)


@pytest.mark.parametrize("how", ["delete", "archive"])
async def test_failures_go_with_the_results_of_their_batch(store: Store, how: str) -> None:
    batch, (job,) = await create(store, "a")
    await store.append_chunk(await claimed(store, job), failed(0, 1), shard_done=True)
    await end(store, batch, [])
    assert await store.failures_of(batch.key) == (group(0, 1),)
    if how == "delete":
        await store.delete_batch("w", "a", 2100)
    else:
        await store.archive_batch(batch.key, 2100)
    assert await store.failures_of(batch.key) == ()


async def test_failures_of_native_jobs_are_counted_with_those_of_direct_calls(store: Store) -> None:
    batch, (queued,) = await planned_with(store, "a", [(0,)], direct=[0])
    job = await taken(store)
    await store.append_native_results(job, {0: failed(0)})
    await store.append_chunk(await claimed(store, queued), failed(1), shard_done=False)
    assert await store.failures_of(batch.key) == (group(0, 1),)
    await store.end_job(ended(job))
    with pytest.raises(StaleClaim):
        await store.append_native_results(job, {0: failed(0)})
    assert await store.failures_of(batch.key) == (group(0, 1),)
