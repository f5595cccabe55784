"""The contract of stores about usage: it is counted with the results, once, and read in groups."""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
import pytest

from batchgate.engine.model.clock import DAY
from batchgate.engine.model.daily_usage import UsageAmounts, UsageDimension, UsageGroup, UsageQuery, total_amounts
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk, ResultLine, chunk_of
from batchgate.engine.model.usage import Usage
from tests.integration.contracts.tenants.stored_rows import AnyStore
from tests.support.native_jobs import ended, planned_with
from tests.support.stored_rows import claimed, create, input_of, new_batch

FIRST: Final = CalledModel("openai", "gpt")
SECOND: Final = CalledModel("anthropic", "claude")


def answered(seq: int, called: CalledModel = FIRST, *, cost: int = 7) -> ResultLine:
    """Return a result that used three tokens of input and two of output."""
    usage = Usage(input_tokens=3, cached_tokens=1, output_tokens=2, reasoning_tokens=1)
    spend = Spend(direct=cost) if cost else Spend(unpriced=1)
    return ResultLine(seq=seq, status="succeeded", line=b"{}\n", usage=usage, spend=spend, called=called)


def used(answers: int, cost: int, **more: int) -> UsageAmounts:
    """Return the amounts of so many of these answers."""
    tokens = {"input_tokens": 3, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 1}
    sums = {name: answers * each for name, each in tokens.items()}
    return UsageAmounts(succeeded=answers, cost=cost, **sums, **more)


async def usage(store: AnyStore, *by: UsageDimension, **filters: str) -> list[UsageGroup]:
    """Read the usage of all days."""
    given = {"since": "1970-01-01", "until": "9999-12-31", "by": frozenset(by)} | filters
    return list(await store.usage.usage_groups(msgspec.convert(given, UsageQuery)))


async def store_chunk(
    store: AnyStore, batch_id: str, chunk: ResultChunk, *, workspace: str = "w", key: str = ""
) -> None:
    """Store results of a new batch that was created with a key."""
    new = msgspec.structs.replace(new_batch(batch_id, workspace=workspace), caller=key)
    await store.add_orphan_blob(input_of(new))
    _, (job,) = await store.create_batch(new)
    await store.append_chunk(await claimed(store, job), chunk, shard_done=True)


async def test_usage_is_told_apart_by_everything_that_it_can_be_grouped_by(store: AnyStore) -> None:
    unknown = ResultLine(seq=1, status="errored", line=b"{}\n")
    expired = ResultLine(seq=2, status="expired", line=b"{}\n")
    await store_chunk(store, "a", chunk_of([answered(0), answered(1, SECOND, cost=0)], at=1), key="ci")
    await store_chunk(store, "b", chunk_of([answered(0), unknown, expired], at=DAY), workspace="v")
    await store_chunk(store, "c", chunk_of([answered(0), answered(1)], at=DAY))
    assert await usage(store) == [UsageGroup(amounts=used(5, 28, errored=1, unpriced=1))]
    assert await usage(store, "day") == [
        UsageGroup(day="1970-01-01", amounts=used(2, 7, unpriced=1)),
        UsageGroup(day="1970-01-02", amounts=used(3, 21, errored=1)),
    ]
    assert await usage(store, "account", "model", "key", workspace="w") == [
        UsageGroup(model="claude", account="anthropic", key="ci", amounts=used(1, 0, unpriced=1)),
        UsageGroup(model="gpt", account="openai", amounts=used(2, 14)),
        UsageGroup(model="gpt", account="openai", key="ci", amounts=used(1, 7)),
    ]
    assert await usage(store, "workspace", "model", since="1970-01-02") == [
        UsageGroup(workspace="v", amounts=UsageAmounts(errored=1)),
        UsageGroup(model="gpt", workspace="v", amounts=used(1, 7)),
        UsageGroup(model="gpt", workspace="w", amounts=used(2, 14)),
    ]
    assert await usage(store, until="1970-01-01", model="gpt", key="ci", lane="direct", account="openai") == [
        UsageGroup(amounts=used(1, 7))
    ]
    assert await usage(store, lane="native") == []


async def test_usage_of_a_chunk_that_is_not_stored_or_stored_already_is_not_counted(store: AnyStore) -> None:
    _, (job,) = await create(store, "a")
    stale, current = await claimed(store, job), await claimed(store, job)
    chunk = chunk_of([answered(0), answered(1, SECOND)], at=1)
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, chunk, shard_done=True)
    assert await usage(store) == []
    for _ in range(2):
        with suppress(StaleClaim):  # on SQLite no response is lost, so no chunk is repeated
            await store.append_chunk(current, chunk, shard_done=True)
    assert await usage(store) == [UsageGroup(amounts=used(2, 14))]


async def test_usage_of_jobs_adds_up_to_their_batch_with_what_is_paid_twice(store: AnyStore) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1, 2)], direct=[], shards=2)
    [job] = await store.take_jobs()
    chunks = {
        shard: chunk_of([msgspec.structs.replace(answered(seq), spend=Spend(native=5, saved=2))], at=1, lane="native")
        for shard, seq in ((0, 0), (1, 2))
    }
    await store.append_native_results(job, chunks)
    await store.end_job(ended(job))
    for _ in range(2):
        late = Spend(native=30, saved=-30, unpriced=1)
        await store.count_paid_twice(job, paid_twice=1, spend=late, now=2 * DAY)
    found = await store.find_batch_by_key(batch.key)
    groups = await usage(store, "day", "lane", "model")
    total = total_amounts([group.amounts for group in groups])
    assert found is not None
    assert (total.cost, total.saved, total.unpriced) == (found.spend.total, found.spend.saved, found.spend.unpriced)
    assert groups == [
        UsageGroup(day="1970-01-01", model="gpt", lane="native", amounts=used(2, 10, saved=4)),
        UsageGroup(
            day="1970-01-03",
            model="gpt",
            lane="native",
            amounts=UsageAmounts(cost=30, saved=-30, unpriced=1, paid_twice=1),
        ),
    ]


async def test_chunks_of_many_batches_that_come_together_are_all_counted(store: AnyStore) -> None:
    models = [CalledModel("a", f"m{number}") for number in range(4)]
    created = [await create(store, f"b{number}", shards=4) for number in range(12)]

    async def run(job: QueuedShard, *, reverse: bool) -> None:
        called = models[::-1] if reverse else models
        results = [answered(seq, called[seq % 4]) for seq in range(4)]
        await store.append_chunk(await claimed(store, job), chunk_of(results, at=1), shard_done=True)

    jobs = [job for _, jobs in created for job in jobs]
    await asyncio.gather(*(run(job, reverse=number % 2 == 0) for number, job in enumerate(jobs)))
    groups = await usage(store, "model")
    assert [group.amounts for group in groups] == [used(len(jobs), 7 * len(jobs))] * len(models)


@pytest.mark.parametrize("model", ["zero \0", "surrogate \udc00", "long" * 2000], ids=["zero", "surrogate", "long"])
async def test_usage_of_models_with_odd_names_is_counted(store: AnyStore, model: str) -> None:
    odd, like_it = CalledModel("a", model), CalledModel("a", f"{model[:-1]}\ufffd")
    await store_chunk(store, "a", chunk_of([answered(0, odd), answered(1, like_it)], at=1))
    assert total_amounts([group.amounts for group in await usage(store, "model")]) == used(2, 14)
    assert await usage(store, model=model) != []


async def test_old_usage_is_dropped(store: AnyStore) -> None:
    for day in range(3):
        await store_chunk(store, f"b{day}", chunk_of([answered(0)], at=day * DAY))
    await store.usage.drop_usage("1970-01-03")
    assert [group.day for group in await usage(store, "day")] == ["1970-01-03"]
