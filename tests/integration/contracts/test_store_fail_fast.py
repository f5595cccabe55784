"""The contract of a store for batches that are paused by their first results, on every database."""

import msgspec
import pytest

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.failure import Failure
from batchgate.engine.model.shard import QueuedShard, ResultChunk, ResultLine, chunk_of
from batchgate.engine.model.steering import Pause, Resume
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.native_jobs import planned, taken
from tests.support.stored_rows import claimed, input_of, new_batch

SteerableStore = SqliteStore | PostgresStore
MODEL, OTHER = CalledModel("a", "m"), CalledModel("a", "other")
LIMIT = 3
AT = 1100


def error(
    seq: int, message: str = "no such model", *, called: CalledModel = MODEL, permanent: bool = True
) -> ResultLine:
    """Return the result of a request that failed."""
    failure = Failure(kind="not_found_error", message=message, custom_id=str(seq), permanent=permanent)
    return ResultLine(seq=seq, status="errored", line=b"{}\n", failure=failure, called=called)


def answer(seq: int, called: CalledModel = MODEL) -> ResultLine:
    """Return the result of a request that succeeded."""
    return ResultLine(seq=seq, status="succeeded", line=b"{}\n", called=called)


def results(*lines: ResultLine) -> ResultChunk:
    """Return results as a chunk."""
    return chunk_of(lines, at=AT)


async def create(store: SteerableStore, *, fail_fast: int = LIMIT, shards: int = 3) -> tuple[Batch, list[QueuedShard]]:
    new = msgspec.structs.replace(new_batch("b", shards=shards), fail_fast=fail_fast)
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    return batch, list(jobs)


async def pause_code(store: SteerableStore) -> str | None:
    batch = await store.find_batch("w", "b")
    assert batch is not None
    return None if batch.pause is None else batch.pause.code


async def test_the_first_results_of_several_shards_pause_a_batch_if_they_are_the_same_error(
    store: SteerableStore,
) -> None:
    batch, (first, second, third) = await create(store)
    await store.append_chunk(await claimed(store, first), results(error(0), error(1)), shard_done=True)
    assert await pause_code(store) is None
    await store.append_chunk(await claimed(store, second), results(error(2, "no  such model")), shard_done=False)
    found = await store.find_batch("w", "b")
    assert found is not None
    assert found.pause is not None
    assert (found.pause.code, found.pause.by, found.pause.since) == ("identical_errors", "", AT)
    assert found.pause.reason == "the first 3 results for m are the same error: no such model"
    assert await store.steering.suspended_batches() == [batch.key]
    assert await store.claim_shard(third) is None
    assert [(entry.at, entry.action, entry.by, entry.detail) for entry in await store.steering.timeline(batch.key)] == [
        (AT, "paused", "", found.pause.reason)
    ]


async def test_another_result_among_the_first_ones_pauses_nothing(store: SteerableStore) -> None:
    others = [answer(2), error(2, "too long"), error(2, permanent=False)]
    for other in others:
        new = msgspec.structs.replace(new_batch(f"b{others.index(other)}", shards=9), fail_fast=LIMIT)
        await store.add_orphan_blob(input_of(new))
        batch, jobs = await store.create_batch(new)
        await store.append_chunk(await claimed(store, jobs[0]), results(error(0), error(1)), shard_done=True)
        await store.append_chunk(await claimed(store, jobs[1]), results(other, error(3)), shard_done=True)
        await store.append_chunk(await claimed(store, jobs[2]), results(error(4), error(5)), shard_done=True)
        await store.append_chunk(await claimed(store, jobs[3]), results(error(6), error(7)), shard_done=True)
        assert await store.steering.timeline(batch.key) == []


async def test_each_model_has_first_results_of_its_own_and_pauses_the_batch_once(store: SteerableStore) -> None:
    batch, jobs = await create(store, shards=6)
    working = [answer(0, OTHER), answer(1, OTHER)]
    await store.append_chunk(await claimed(store, jobs[0]), results(*working), shard_done=True)
    await store.append_chunk(await claimed(store, jobs[1]), results(error(2), error(3)), shard_done=True)
    claim = await claimed(store, jobs[2])
    await store.append_chunk(claim, results(error(4)), shard_done=False)
    assert await pause_code(store) == "identical_errors"
    await store.append_chunk(claim, results(error(5)), shard_done=True)  # it was in flight
    await store.steering.steer_batch("w", "b", Resume(), by="key", now=1200)
    await store.append_chunk(await claimed(store, jobs[3]), results(error(6), error(7)), shard_done=True)
    assert await pause_code(store) is None
    third = CalledModel("a", "third")
    await store.append_chunk(
        await claimed(store, jobs[4]), results(error(8, called=third), error(9, called=third)), shard_done=True
    )
    await store.append_chunk(await claimed(store, jobs[5]), results(error(10, called=third)), shard_done=False)
    assert await pause_code(store) == "identical_errors"
    actions = [entry.action for entry in await store.steering.timeline(batch.key)]
    assert actions == ["paused", "resumed", "paused"]


async def test_a_batch_that_a_caller_has_paused_is_paused_again_once_it_is_resumed(store: SteerableStore) -> None:
    _, jobs = await create(store)
    claim = await claimed(store, jobs[0])
    await store.steering.steer_batch("w", "b", Pause(reason="why"), by="key", now=AT)
    await store.append_chunk(claim, results(error(0), error(1)), shard_done=True)
    assert await pause_code(store) == "requested"
    await store.steering.steer_batch("w", "b", Resume(), by="key", now=AT)
    await store.append_chunk(await claimed(store, jobs[1]), results(error(2)), shard_done=False)
    assert await pause_code(store) == "identical_errors"


async def test_a_batch_that_has_all_its_results_is_not_paused(store: SteerableStore) -> None:
    _, jobs = await create(store, shards=2)
    await store.append_chunk(await claimed(store, jobs[0]), results(error(0), error(1)), shard_done=True)
    last = await claimed(store, jobs[1])
    assert await store.append_chunk(last, results(error(2), error(3)), shard_done=True) is True
    assert await pause_code(store) is None


async def test_a_batch_without_a_limit_is_not_paused(store: SteerableStore) -> None:
    _, jobs = await create(store, fail_fast=0)
    await store.append_chunk(await claimed(store, jobs[0]), results(error(0), error(1)), shard_done=True)
    await store.append_chunk(await claimed(store, jobs[1]), results(error(2), error(3)), shard_done=True)
    assert await pause_code(store) is None


async def test_a_chunk_that_is_not_stored_pauses_nothing(store: SteerableStore) -> None:
    _, jobs = await create(store, fail_fast=2)
    stale, current = await claimed(store, jobs[0]), await claimed(store, jobs[0])
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, results(error(0), error(1)), shard_done=True)
    assert await pause_code(store) is None
    await store.append_chunk(current, results(error(0)), shard_done=False)
    assert await pause_code(store) is None
    await store.append_chunk(current, results(error(1)), shard_done=True)
    assert await pause_code(store) == "identical_errors"


async def test_results_of_a_native_job_pause_a_batch_too(store: SteerableStore) -> None:
    pauses: list[str] = []
    store.steering.notify_on_pause(lambda: pauses.append("pause"))
    new = msgspec.structs.replace(new_batch("b", shards=2), fail_fast=LIMIT, planned=True)
    await store.add_orphan_blob(input_of(new))
    batch, _ = await store.create_batch(new)
    await store.save_plan(batch.key, [planned(batch, *range(4))], [])
    job = await taken(store)
    await store.append_native_results(job, {0: results(error(0), error(1)), 1: results(error(2))})
    assert await pause_code(store) == "identical_errors"
    assert len(pauses) == isinstance(store, SqliteStore)
