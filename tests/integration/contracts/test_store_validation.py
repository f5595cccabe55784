"""The contract of `Store` for batches made from files, and for result files."""

from msgspec import structs

from batchgate.engine.model.batch import Batch, BatchOptions, NewBatch, ValidatedInput
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.engine.model.usage import Counts, Usage, total_usage
from batchgate.engine.ports.store import Store
from tests.support.stored_rows import EMPTY, chunk, claimed, create, file_page, new_batch

TERMS = BatchOptions(kind="embeddings", model="m", metadata={"a": "b"}, input_file="file-1", output_lifetime=3600)


async def submit(store: Store, batch_id: str) -> Batch:
    """Store a batch whose file is to be validated."""
    new = NewBatch(
        id=batch_id,
        workspace="w",
        dialect="openai",
        options=TERMS,
        provider="p",
        providers=("p",),
        headers={},
        created_at=1000,
        expires_at=1500,
        input_blob=None,
    )
    batch, jobs = await store.create_batch(new)
    assert list(jobs) == []
    return batch


async def begin(store: Store, batch: Batch, shards: int = 1) -> list[QueuedShard]:
    """Start a validated batch with two requests per shard."""
    await store.add_orphan_blob(f"{batch.id}/input")
    like = new_batch("like", shards=shards)
    begun = ValidatedInput(input_blob=f"{batch.id}/input", input_hash=b"hash", shards=like.shards, providers=("p", "q"))
    jobs = await store.start_batch(batch.key, begun, 1100)
    assert jobs is not None
    return list(jobs)


async def found(store: Store, batch: Batch) -> Batch:
    again = await store.find_batch("w", batch.id)
    assert again is not None
    return again


async def finish(store: Store, batch: Batch, jobs: list[QueuedShard], *parts: str) -> None:
    """End a batch with a result file for each part."""
    for job in jobs:
        await store.append_chunk(await claimed(store, job), EMPTY, shard_done=True)
    await store.add_orphan_blob(f"{batch.id}/results")
    files = [part_file(batch, part) for part in parts]
    counts = Counts(total=2, succeeded=1, errored=1)
    results = {"results_blob": f"{batch.id}/results", "results_size": 7, "output_size": 4}
    assert await store.end_batch(batch.key, counts=counts, now=2000, files=files, **results)  # type: ignore[arg-type]


def part_file(batch: Batch, part: str) -> NewFile:
    return NewFile(
        id=f"file-{batch.id}-{part}",
        workspace="w",
        provider="p",
        purpose="batch_output",
        filename="f",
        size=4,
        sha256=b"",
        created_at=2000,
        expires_at=5000,
        blob=None,
        batch_id=batch.id,
        part=part,  # type: ignore[arg-type]
    )


async def test_a_batch_from_a_file_gets_all_its_requests_when_it_starts(store: Store) -> None:
    batch = await submit(store, "a")
    assert (batch.status, batch.counts.total, batch.in_progress_at, batch.input_blob) == ("validating", 0, None, None)
    assert batch.options == TERMS
    assert list(await store.validating_batches()) == [batch.key]
    assert await store.finalizable_batches() == []
    jobs = await begin(store, batch, shards=2)
    begun = await found(store, batch)
    assert (begun.status, begun.counts.total, begun.in_progress_at) == ("in_progress", 4, 1100)
    assert (begun.input_blob, begun.input_hash, begun.providers) == ("a/input", b"hash", ("p", "q"))
    assert list(await store.unfinished_jobs()) == jobs
    assert await store.validating_batches() == []
    assert await store.owns_blob("a", "a/input")


async def test_a_batch_starts_once(store: Store) -> None:
    batch = await submit(store, "a")
    jobs = await begin(store, batch)
    await store.add_orphan_blob("late")
    again = ValidatedInput(input_blob="late", shards=new_batch("like", shards=3).shards, providers=())
    assert await store.start_batch(batch.key, again, 1200) is None
    assert not await store.fail_batch(batch.key, b"[]", b"[]", 1200)
    assert list(await store.unfinished_jobs()) == jobs
    assert list(await store.list_orphan_blobs()) == ["late"]


async def test_a_batch_that_failed_has_ended_with_its_errors(store: Store) -> None:
    batch = await submit(store, "a")
    assert await store.fail_batch(batch.key, b"all of it", b"its beginning", 1200)
    failed = await found(store, batch)
    assert (failed.status, failed.ended_at, failed.first_faults) == ("failed", 1200, b"its beginning")
    assert await store.find_faults(batch.key) == b"all of it"
    for nothing in (store.validating_batches(), store.finalizable_batches(), store.overdue_batches(9999)):
        assert await nothing == []
    assert await store.next_due(0, 100) is None
    assert (await store.backlog()).batches == {}
    assert (await store.delete_batch("w", "a", 1300)) == failed
    assert await store.find_faults(batch.key) is None


async def test_old_validation_errors_are_dropped_except_the_first(store: Store) -> None:
    batch = await submit(store, "a")
    await store.fail_batch(batch.key, b"all of it", b"its beginning", 1200)
    await store.drop_faults(1199)
    assert await store.find_faults(batch.key) == b"all of it"
    await store.drop_faults(1200)
    assert await store.find_faults(batch.key) is None
    assert (await found(store, batch)).first_faults == b"its beginning"


async def test_a_cancel_ends_a_validation_at_once_and_the_batch_cannot_start(store: Store) -> None:
    batch = await submit(store, "a")
    canceled = await store.cancel_batch("w", "a", 1200)
    assert canceled is not None
    assert (canceled.status, canceled.cancel_initiated_at, canceled.ended_at) == ("ended", 1200, 1200)
    begun = ValidatedInput(input_blob="x", shards=(), providers=())
    assert await store.start_batch(batch.key, begun, 1300) is None
    assert await store.cancel_batch("w", "a", 1400) == canceled


async def test_a_batch_is_listed_by_every_provider_that_it_runs_on_until_it_is_deleted(store: Store) -> None:
    await create(store, "other", provider="q")
    batch = await submit(store, "a")
    jobs = await begin(store, batch)

    async def ids(provider: str, **cursors: int) -> list[str]:
        given = {"older_than": None, "newer_than": None} | cursors
        page = await store.list_batches("w", provider=provider, limit=9, **given)
        return [found.id for found in page.batches]

    assert [await ids(name) for name in ("p", "q", "r")] == [["a"], ["a", "other"], []]
    assert await ids("q", older_than=batch.key) == ["other"]
    assert await ids("q", newer_than=batch.key - 1) == ["a"]
    await finish(store, batch, jobs)
    await store.delete_batch("w", "a", 3000)
    assert [await ids(name) for name in ("p", "q")] == [[], ["other"]]


async def test_the_usage_of_responses_is_summed(store: Store) -> None:
    batch = await submit(store, "a")
    claim = await claimed(store, (await begin(store, batch))[0])
    used = Usage(input_tokens=5, cached_tokens=1, output_tokens=7, reasoning_tokens=2)
    for seq in (0, 1):
        one = chunk(seq)
        await store.append_chunk(
            claim, ResultChunk(seqs=one.seqs, lines=one.lines, succeeded=1, errored=0, usage=used), shard_done=False
        )
    assert (await found(store, batch)).usage == total_usage([used, used])


async def test_deleting_the_last_file_of_a_batch_orphans_its_blobs(store: Store) -> None:
    batch = await submit(store, "a")
    await finish(store, batch, await begin(store, batch), "output", "error")
    ended = await found(store, batch)
    assert (ended.output_file, ended.error_file, ended.output_size) == ("file-a-output", "file-a-error", 4)
    assert await file_page(store, purpose="batch_output") == "file-a-errorfile-a-output"
    output = await store.find_file("w", "file-a-output", 0)
    assert output is not None
    assert (output.batch_id, output.part, output.blob) == ("a", "output", None)
    assert await store.archivable_batches(9_999) == []
    assert await store.next_due(2000, 100) == 5000
    await store.delete_file("w", "file-a-output", 3000)
    assert await store.list_orphan_blobs() == []
    await store.expire_files(5000)
    assert list(await store.list_orphan_blobs()) == ["a/input", "a/results"]
    archived = await found(store, batch)
    assert (archived.archived_at, archived.results_blob) == (5000, None)


async def test_the_files_of_a_batch_are_deleted_with_it(store: Store) -> None:
    batch = await submit(store, "a")
    await finish(store, batch, await begin(store, batch), "output")
    await store.delete_batch("w", "a", 3000)
    assert await store.find_file("w", "file-a-output", 0) is None
    assert list(await store.list_orphan_blobs()) == ["a/input", "a/results"]
    await store.expire_files(9_999)
    assert list(await store.list_orphan_blobs()) == ["a/input", "a/results"]


async def test_a_model_with_a_nul_is_no_reason_to_fail(store: Store) -> None:
    new = structs.replace(new_batch("a"), model="m\0")
    await store.add_orphan_blob("a/input")
    assert (await store.create_batch(new))[0].model is None
    batch = await submit(store, "b")
    await store.add_orphan_blob("b/input")
    validated = ValidatedInput(input_blob="b/input", shards=new.shards, providers=("p",), model="m\0")
    assert await store.start_batch(batch.key, validated, 1100) is not None
    assert (await found(store, batch)).model is None
