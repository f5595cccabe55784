"""The store on PostgreSQL beyond the contract: texts, numbers, jobs, notifications, marks, writers of blobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest

from batchgate.blobs import FolderBlobs
from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.model.file import NewFile
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.integration.contracts.test_store_validation import begin, submit
from tests.support.database_observer import DatabaseObserver
from tests.support.stored_rows import (
    EMPTY,
    chunk,
    claimed,
    create,
    create_file,
    end,
    file_page,
    input_of,
    new_batch,
)

Stores = tuple[PostgresStore, PostgresStore]

LARGEST = 2**63 - 1


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfffb"])
async def test_texts_that_cannot_be_stored_match_nothing(stores: Stores, text: str) -> None:
    store = stores[0]
    await create(store, "a", provider="p")
    await create_file(store, "f")
    assert await store.find_batch("w", text) is None
    assert await store.find_batch(text, "a") is None
    assert await store.find_batch_cursor("w", text) is None
    assert await store.cancel_batch("w", text, 1) is None
    assert await store.delete_batch("w", text, 1) is None
    assert await store.find_file("w", text, 0) is None
    assert await store.find_file_cursor("w", text) is None
    assert await store.delete_file("w", text, 0) is None
    assert not await store.owns_blob(text, "a/input")
    page = await store.list_batches("w", older_than=None, newer_than=None, provider=text, limit=9)
    assert page.batches == ()
    assert await file_page(store, purpose=text) == ""
    assert await file_page(store, provider=text) == ""
    repeated = msgspec.structs.replace(new_batch("b"), idempotency_key=text)
    assert await store.find_repeated(repeated) is None


async def test_unusual_texts_and_bytes_are_read_back_unchanged(stores: Stores) -> None:
    new = new_batch("a")
    text_value = "it's \"odd\" \\ %s %(id)s $1 :id \x01\u2028 \U0001f600 ' ; --"
    options = msgspec.structs.replace(new.options, model=text_value + "\0", metadata={text_value: "\0"})
    new = msgspec.structs.replace(
        new, options=options, headers={"a": text_value}, fingerprint=bytes(range(256)), provider=text_value
    )
    await stores[0].add_orphan_blob(input_of(new))
    created, _ = await stores[0].create_batch(new)
    found = await stores[1].find_batch("w", "a")
    assert found == created
    assert (found.options, found.headers, found.fingerprint, found.provider) == (
        new.options,
        new.headers,
        new.fingerprint,
        text_value,
    )


async def test_numbers_of_64_bits_are_stored_and_larger_ones_refused(stores: Stores) -> None:
    new = NewFile(
        id="f",
        workspace="w",
        provider="openai",
        purpose="batch",
        filename="f",
        size=LARGEST,
        sha256=b"",
        created_at=-LARGEST - 1,
        expires_at=LARGEST,
        blob="f/blob",
    )
    await stores[0].add_orphan_blob("f/blob")
    with pytest.raises((StoreError, OverflowError)):
        await stores[0].create_file(msgspec.structs.replace(new, size=LARGEST + 1))
    file = await stores[0].create_file(new)
    assert await stores[1].find_file("w", "f", LARGEST - 1) == file
    assert (file.size, file.created_at, file.expires_at) == (LARGEST, -LARGEST - 1, LARGEST)


async def test_pages_start_at_the_newest_batch_even_at_the_largest_keys(
    stores: Stores, observer: DatabaseObserver
) -> None:
    assert NO_UPPER_BOUND == LARGEST
    observer.connection.execute(f"ALTER SEQUENCE batches_key_seq RESTART {LARGEST - 2}".encode())
    for name in "ab":
        await create(stores[0], name)
    page = await stores[0].list_batches("w", older_than=None, newer_than=None, provider=None, limit=9)
    assert [batch.id for batch in page.batches] == ["b", "a"]


async def test_a_batch_and_the_jobs_of_its_shards_are_created_together(
    stores: Stores, observer: DatabaseObserver
) -> None:
    jobs = "SELECT queue_name, task_name, priority, queueing_lock, args, lock FROM procrastinate_jobs ORDER BY id"
    with pytest.raises(StoreError):
        await stores[0].create_batch(new_batch("unannounced", shards=2))
    assert observer.rows(jobs) == []
    batch, _ = await create(stores[0], "a", shards=2)
    waiting = await submit(stores[0], "b")
    await begin(stores[0], waiting)
    assert observer.rows(jobs) == [
        {
            "queue_name": "shards",
            "task_name": "run_shard",
            "priority": -shard,
            "queueing_lock": f"{key}/{shard}",
            "args": {"batch_key": key, "shard": shard},
            "lock": None,
        }
        for key, shard in ((batch.key, 0), (batch.key, 1), (waiting.key, 0))
    ]


async def test_other_processes_are_notified_of_events(stores: Stores, observer: DatabaseObserver) -> None:
    observer.listen()
    file = await submit(stores[0], "file")
    assert observer.received_events() == [("validate", file.key)]
    batch, jobs = await create(stores[0], "a", shards=2)
    held = await claimed(stores[0], jobs[0])
    assert observer.received_events() == []
    await stores[0].cancel_batch("w", "a", 5)
    assert observer.received_events() == [("stop_sending", batch.key)]
    await stores[0].append_chunk(held, chunk(0), shard_done=True)
    assert observer.received_events() == [("finalize", batch.key)]
    overdue, _ = await create(stores[0], "b")
    await stores[0].expire_batch(overdue.key, 1500)
    assert sorted(observer.received_events()) == [
        ("expire", overdue.key),
        ("finalize", overdue.key),
        ("stop_sending", overdue.key),
    ]
    done, (job,) = await create(stores[0], "c")
    await stores[0].append_chunk(await claimed(stores[0], job), chunk(0, 1), shard_done=True)
    assert observer.received_events() == [("finalize", done.key)]


async def test_marks_of_one_process_are_read_by_the_next_claim_of_another(
    stores: Stores, observer: DatabaseObserver
) -> None:
    first, second = stores
    batch, (job,) = await create(first, "a")
    claim = await claimed(first, job)
    for seq in (0, 1):
        first.mark_sent(claim, seq, sent=True)
    first.mark_sent(claim, 0, sent=False)
    await observer.wait_for_value("SELECT coalesce(max(bits), '') FROM sent_marks", b"\2")
    second_claim = await claimed(second, job)
    assert second_claim.sent == {1}
    first.mark_sent(claim, 0, sent=True)  # this process has lost the shard without noticing
    second.mark_sent(second_claim, 1, sent=False)
    await observer.wait_for_value("SELECT bits FROM sent_marks", b"\0")
    second.mark_sent(second_claim, 1, sent=True)
    await second.append_chunk(second_claim, chunk(0, 1), shard_done=True)
    assert observer.value("SELECT count(*) FROM sent_marks") == 0
    second.mark_sent(second_claim, 1, sent=True)
    await end(second, batch, [])


async def test_a_store_writes_its_last_marks_when_it_closes_and_those_of_released_shards(
    url: str, observer: DatabaseObserver
) -> None:
    async with PostgresStore(PostgresAddress(url)) as store:
        _, jobs = await create(store, "a", shards=2)
        claims = [await claimed(store, job) for job in jobs]
        store.mark_sent(claims[0], 0, sent=True)
        store.mark_sent(claims[1], 3, sent=True)
        await store.release_shard(claims[1])
    assert [bytes(row["bits"]) for row in observer.rows("SELECT bits FROM sent_marks ORDER BY shard")] == [b"\1", b"\2"]


@asynccontextmanager
async def open_as_member(url: str, observer: DatabaseObserver) -> AsyncIterator[tuple[PostgresStore, int]]:
    member = observer.value("INSERT INTO members (name, role) VALUES ('m', 'gateway') RETURNING id")
    async with PostgresStore(PostgresAddress(url), member=lambda: member) as store:
        yield store, member


async def test_a_blob_that_a_live_member_writes_is_not_listed_as_an_orphan(
    url: str, observer: DatabaseObserver
) -> None:
    async with open_as_member(url, observer) as (store, member), PostgresStore(PostgresAddress(url)) as other:
        await store.add_orphan_blob("being/written")
        await other.add_orphan_blob("without writer")
        assert list(await other.list_orphan_blobs()) == ["without writer"]
        observer.connection.execute("DELETE FROM members WHERE id = %s", (member,))
        assert list(await other.list_orphan_blobs()) == ["being/written", "without writer"]


async def test_blobs_of_a_deleted_owner_are_listed_as_orphans(url: str, observer: DatabaseObserver) -> None:
    async with open_as_member(url, observer) as (store, _), PostgresStore(PostgresAddress(url)) as other:
        batch, jobs = await create(store, "a")
        await end(store, batch, jobs)
        await store.delete_batch("w", "a", 3000)
        file = await create_file(store, "f")
        await store.delete_file("w", file.id, 3000)
        assert list(await other.list_orphan_blobs()) == ["a/input", "a/results", "f/blob"]


async def test_a_process_that_pauses_in_a_transaction_keeps_rows_locked_for_a_bounded_time(stores: Stores) -> None:
    async def show(store: PostgresStore, name: str) -> str:
        async with store._pool._pool.connection() as connection:
            row = await (await connection.execute("SELECT current_setting(%s) AS found", (name,))).fetchone()
        assert row is not None
        return str(row["found"])

    assert await show(stores[0], "idle_in_transaction_session_timeout") == "10s"
    assert await show(stores[0], "synchronous_commit") == "on"


@pytest.mark.parametrize(("after", "names"), [("\0", ["a", "b"]), ("a\0", ["b"]), ("a", ["b"]), ("b\0x", [])])
async def test_a_page_of_workspaces_may_start_after_a_text_that_cannot_be_stored(
    stores: Stores, after: str, names: list[str]
) -> None:
    await stores[0].tenants.ensure_workspaces(["a", "b"], 1)
    page = await stores[0].tenants.list_workspaces(after=after, limit=9)
    assert [workspace.name for workspace in page.workspaces if workspace.name != "default"] == names


async def test_a_write_that_waits_too_long_for_a_lock_fails(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgate.store.postgres.connection.LOCK_TIMEOUT", "100ms")
    async with PostgresStore(PostgresAddress(url)) as store:
        batch, _ = await create(store, "a")
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE batches")
            for write in (create(store, "b"), store.cancel_batch("w", "a", 1), store.expire_batch(batch.key, 1500)):
                with pytest.raises(StoreError, match="lock timeout"):
                    await write
        assert await store.find_batch("w", "a") is not None


async def test_an_empty_last_write_ends_a_shard(stores: Stores) -> None:
    _, (job,) = await create(stores[0], "a")
    assert await stores[1].append_chunk(await claimed(stores[0], job), EMPTY, shard_done=True) is True


async def test_a_process_continues_after_a_newer_one_has_changed_the_schema(
    stores: Stores, observer: DatabaseObserver
) -> None:
    # The server rejects statements that were prepared before a column was added.
    _, (job,) = await create(stores[0], "a")
    for _ in range(10):
        assert await stores[0].find_batch("w", "a") is not None
        await claimed(stores[0], job)
    observer.connection.execute("ALTER TABLE batches ADD COLUMN later bigint")
    try:
        assert await stores[0].find_batch("w", "a") is not None
        await claimed(stores[0], job)
    finally:
        observer.connection.execute("ALTER TABLE batches DROP COLUMN later")


async def test_a_start_deletes_the_chunks_of_ended_batches_whose_finalizer_died(
    stores: Stores, url: str, observer: DatabaseObserver
) -> None:
    for name in "abc":
        batch, (job,) = await create(stores[0], name)
        await stores[0].append_chunk(await claimed(stores[0], job), chunk(0), shard_done=False)
        if name != "b":
            await end(stores[0], batch, [job])
    left = observer.rows("SELECT id FROM batches JOIN chunks ON batch_key = key ORDER BY id")
    assert [row["id"] for row in left] == ["a", "b", "c"]
    async with PostgresStore(PostgresAddress(url)):
        left = observer.rows("SELECT id FROM batches JOIN chunks ON batch_key = key")
    assert [row["id"] for row in left] == ["b"]


class SlowBlobs(FolderBlobs):
    """Blob storage whose deletes wait for the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.removing, self.proceed = asyncio.Event(), asyncio.Event()

    async def delete(self, name: str) -> None:
        """Wait for the test, then delete."""
        self.removing.set()
        await self.proceed.wait()
        await super().delete(name)


async def test_a_batch_cannot_adopt_a_blob_that_is_being_removed(
    url: str, observer: DatabaseObserver, stores: Stores, tmp_path: Path
) -> None:
    # The writer was paused and considered dead, and resumes when another process has just started to remove its blob.
    async with open_as_member(url, observer) as (store, member):
        blobs, new = SlowBlobs(tmp_path), new_batch("a")
        async with OrphanBlobs(store, blobs).open_writer("a", input_of(new)) as writer:
            await writer.write(b"input")
            await writer.commit()
            observer.connection.execute("DELETE FROM members WHERE id = %s", (member,))
            sweeping = asyncio.create_task(OrphanBlobs(stores[0], blobs).sweep())
            await blobs.removing.wait()
            with pytest.raises(StoreError, match="was removed as an orphan"):
                await store.create_batch(new)
            blobs.proceed.set()
            await sweeping
        assert await store.find_batch("w", "a") is None
        assert await store.list_orphan_blobs() == []


async def test_a_member_removes_later_what_it_could_not_remove_at_once(
    url: str, observer: DatabaseObserver, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The database was unreachable when an upload was aborted. For other processes the blob is being written for as
    # long as the process that registered it is alive.
    async def unreachable(_name: str) -> bool:
        raise StoreError("the database is unreachable")

    async with open_as_member(url, observer) as (store, _):
        blobs = FolderBlobs(tmp_path)
        orphan_blobs = OrphanBlobs(store, blobs)
        with monkeypatch.context() as patched:
            patched.setattr(store, "tombstone_blob", unreachable)
            async with orphan_blobs.open_writer("batch", "batch/input") as writer:
                await writer.write(b"input")
                await writer.commit()
        await OrphanBlobs(stores[0], blobs).sweep()
        assert await blobs.read_range("batch/input", 0, 5) == b"input"
        await orphan_blobs.retry_failed_removals()
        assert observer.rows("SELECT * FROM loose_blobs") == []
        with pytest.raises(BlobError):
            await blobs.read_range("batch/input", 0, 5)
