"""A create, a finalization or a delete that is interrupted leaves nothing in the data folder."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest

from batchgate.api.anthropic.create_body import MessageBatchReader
from batchgate.api.content_encoding import content_decoder
from batchgate.app import ENGINE
from batchgate.blobs import FolderBlobs
from batchgate.engine.model.batch import Batch, NewBatch
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.model.submission import Submission
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support import failpoints
from batchgate.store.sqlite import SqliteStore
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app
from tests.support.storage_leaks import check_no_storage_leaks, find_storage_leaks
from tests.support.stored_rows import input_of, new_batch

T = TypeVar("T")

DAY = 24 * 3600
JSON = {"Content-Type": "application/json"}
MEGABYTE = b'{"custom_id": "large", "params": {"x": "' + b"x" * 1_100_000 + b'"}},'


@pytest.fixture(autouse=True)
def _failpoints_off_again() -> Iterator[None]:
    yield
    failpoints.arm_failpoints({})


def raise_at_failpoint(step: str) -> None:
    failpoints.arm_failpoints({failpoints.VARIABLE: f"{step}=raise"})


async def check_no_leaks(data_dir: Path) -> None:
    await asyncio.to_thread(check_no_storage_leaks, data_dir)


def stored_files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


async def test_a_refused_create_has_left_nothing_stored_when_its_response_arrives(gateway: RunningApp) -> None:
    for body in (b'{"requests": []}', b'{"requests": [' + MEGABYTE * 3 + b"]}", b'{"requests": [' + MEGABYTE * 3):
        status, _ = await gateway.call("POST", BATCHES, data=BytesIO(body), headers=JSON)
        assert status == 400
        assert find_storage_leaks(gateway.data_dir) == []


async def test_a_create_whose_caller_disconnects_leaves_nothing_stored(gateway: RunningApp) -> None:
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"requests": [' + MEGABYTE * 3
        sent.set()
        await asyncio.Event().wait()

    async def create() -> None:
        async with aiohttp.ClientSession() as client:
            await client.post(gateway.url + BATCHES, data=body(), headers=JSON)

    creating = asyncio.create_task(create())
    await sent.wait()
    while not stored_files(gateway.data_dir):
        await gateway.call("GET", "/health")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await check_no_leaks(gateway.data_dir)
    assert stored_files(gateway.data_dir) == []


async def test_a_create_that_the_store_refuses_leaves_nothing_stored(gateway: RunningApp) -> None:
    connection = sqlite3.connect(gateway.data_dir / "batchgate.db", isolation_level=None)
    connection.execute("ALTER TABLE shards RENAME TO gone")
    assert (await gateway.call("POST", BATCHES, json=create_body("a")))[0] == 529
    connection.execute("ALTER TABLE gone RENAME TO shards")
    connection.close()
    await check_no_leaks(gateway.data_dir)
    assert stored_files(gateway.data_dir) == []


@pytest.mark.parametrize("step", ["intake_spooled", "rows_written"])
async def test_a_create_that_fails_inside_the_gateway_stores_all_or_nothing(gateway: RunningApp, step: str) -> None:
    raise_at_failpoint(step)
    assert (await gateway.call("POST", BATCHES, json=create_body("a")))[0] == 500
    await check_no_leaks(gateway.data_dir)
    batches = (await gateway.call("GET", BATCHES))[1]["data"]
    assert len(batches) == len(stored_files(gateway.data_dir)) == (1 if step == "rows_written" else 0)


@pytest.mark.parametrize("step", ["finalizing_started", "result_file_written", "batch_marked", "chunks_deleted"])
async def test_a_failed_finalization_is_retried_and_leaves_one_result_file(gateway: RunningApp, step: str) -> None:
    raise_at_failpoint(step)
    batch = await gateway.ended((await gateway.create("a", "b"))["id"])
    assert len(await gateway.results(batch["id"])) == 2
    await check_no_leaks(gateway.data_dir)
    assert len(stored_files(gateway.data_dir)) == 2


async def test_the_next_sweep_completes_an_interrupted_archiving(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    raise_at_failpoint("batch_archived")
    gateway.clock.move(29 * DAY)
    while stored_files(gateway.data_dir):
        await gateway.call("GET", "/health")
    assert (await gateway.call("GET", f"{BATCHES}/{batch['id']}"))[1]["archived_at"] is not None
    await check_no_leaks(gateway.data_dir)


async def test_the_next_sweep_completes_an_interrupted_delete(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    raise_at_failpoint("batch_deleted")
    assert (await gateway.call("DELETE", f"{BATCHES}/{batch['id']}"))[0] == 500
    assert (await gateway.call("GET", f"{BATCHES}/{batch['id']}"))[0] == 404
    while stored_files(gateway.data_dir):
        await gateway.call("GET", "/health")
    await check_no_leaks(gateway.data_dir)


async def test_the_next_start_removes_the_staged_file_of_a_killed_process(tmp_path: Path) -> None:
    clock = MovableClock()
    async with SqliteStore(tmp_path / "batchgate.db") as store:
        blobs = FolderBlobs(tmp_path / "blobs")
        await store.add_orphan_blob("batches/killed/input.jsonl")
        writer = blobs.writer("batches/killed/input.jsonl")
        await writer.write(bytes(3_000_000))
    assert [path.name for path in stored_files(tmp_path)] == ["input.jsonl#1"]
    async with running_app(tmp_path, clock=clock):
        await check_no_leaks(tmp_path)
    assert stored_files(tmp_path) == []


class SlowStore(SqliteStore):
    """A store that delays the writes that create and end batches."""

    write_started: asyncio.Event
    write_allowed: asyncio.Event
    writes: list[asyncio.Future[Any]]

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[QueuedShard]]:
        """Create the batch once the test allows it, even if the caller no longer waits."""
        return await self._delay(super().create_batch(new))

    async def end_batch(self, batch_key: int, **finalized: Any) -> bool:
        """End the batch once the test allows it, even if the caller no longer waits."""
        return await self._delay(super().end_batch(batch_key, **finalized))

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Read the owner, then let the delayed writes finish before the result is returned."""
        found = await super().owns_blob(owner, name)
        self.write_allowed.set()
        await asyncio.gather(*self.writes)
        return found

    async def _delay(self, write: Coroutine[Any, Any, T]) -> T:
        async def delayed_write() -> T:
            await self.write_allowed.wait()
            return await write

        self.write_started.set()
        self.writes.append(task := asyncio.ensure_future(delayed_write()))
        return await asyncio.shield(task)


@pytest.fixture
def slow_store(monkeypatch: pytest.MonkeyPatch) -> type[SlowStore]:
    monkeypatch.setattr("batchgate.installation.SqliteStore", SlowStore)
    SlowStore.write_started, SlowStore.write_allowed, SlowStore.writes = asyncio.Event(), asyncio.Event(), []
    return SlowStore


async def test_a_batch_whose_create_is_canceled_during_its_database_write_keeps_its_input_and_runs(
    tmp_path: Path, slow_store: type[SlowStore]
) -> None:
    # A write that the store has accepted is executed even if its caller is canceled. Once, the gateway removed the
    # input after the cancellation, and then the store wrote the rows. The batch could be neither run nor finalized.
    async with running_app(tmp_path) as app:
        creating = asyncio.create_task(app.app[ENGINE].batches.create(*submission("a", "b")))
        await slow_store.write_started.wait()
        creating.cancel()
        slow_store.write_allowed.set()
        with pytest.raises(asyncio.CancelledError):
            await creating
        (batch,) = (await app.call("GET", BATCHES))[1]["data"]
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        await check_no_leaks(tmp_path)


async def test_a_shutdown_while_a_batch_is_marked_ended_keeps_its_results(
    tmp_path: Path, slow_store: type[SlowStore]
) -> None:
    # Once, the finalizer was canceled and removed its file because no batch owned it. Then the store marked the batch
    # as ended with that file.
    clock = MovableClock()
    async with running_app(tmp_path, clock=clock) as app:
        slow_store.write_allowed.set()
        batch = await app.create("a")
        slow_store.write_started, slow_store.write_allowed = asyncio.Event(), asyncio.Event()
        await slow_store.write_started.wait()
        asyncio.get_running_loop().call_later(0.2, slow_store.write_allowed.set)
    async with running_app(tmp_path, clock=clock) as app:
        await app.ended(batch["id"])
        assert len(await app.results(batch["id"])) == 1
        await check_no_leaks(tmp_path)


def submission(*custom_ids: str) -> tuple[Callable[[], Submission], AsyncIterator[bytes], MessageBatchReader]:
    async def body() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(create_body(*custom_ids))

    new_submission = Submission(workspace="default", dialect="anthropic", provider="simulator", headers={})
    return lambda: new_submission, body(), MessageBatchReader(content_decoder(None))


class PausedListStore(SqliteStore):
    """A store that pauses after it has read the names of orphan blobs, so that a create can complete."""

    resume: asyncio.Event
    names_read: asyncio.Event

    async def list_orphan_blobs(self) -> list[str]:
        """Read the names, and wait for the test before they are returned."""
        names = list(await super().list_orphan_blobs())
        self.names_read.set()
        await self.resume.wait()
        return names


async def test_a_sweep_keeps_a_blob_that_a_batch_acquired_after_the_sweep_listed_it(tmp_path: Path) -> None:
    # Once, the sweeper read the names of orphan blobs. Then a create made its batch the owner of one of them and
    # completed. The sweeper found that no writer was using the blob any more, and removed the input of an acknowledged
    # batch.
    async with PausedListStore(tmp_path / "batchgate.db") as store:
        store.resume, store.names_read = asyncio.Event(), asyncio.Event()
        blobs = FolderBlobs(tmp_path / "blobs")
        orphan_blobs = OrphanBlobs(store, blobs)
        new = new_batch("batch")
        async with orphan_blobs.open_writer("batch", input_of(new)) as writer:
            sweeping = asyncio.create_task(orphan_blobs.sweep())
            await store.names_read.wait()
            await writer.write(b"input\n")
            await writer.commit()
            await store.create_batch(new)
        store.resume.set()
        await sweeping
        assert await blobs.read_range(input_of(new), 0, 5) == b"input"


async def test_a_create_whose_blob_was_removed_as_an_orphan_is_refused(tmp_path: Path) -> None:
    # Another gateway, started on the same folder, removes the blob: it cannot detect that the create is still running.
    async with SqliteStore(tmp_path / "batchgate.db") as store:
        blobs = FolderBlobs(tmp_path / "blobs")
        new = new_batch("batch")
        async with OrphanBlobs(store, blobs).open_writer("batch", input_of(new)) as writer:
            await writer.write(b"input\n")
            await OrphanBlobs(store, blobs).sweep()
            await writer.commit()
            with pytest.raises(StoreError, match="another gateway"):
                await store.create_batch(new)
        assert await store.find_batch("w", "batch") is None
    assert stored_files(tmp_path) == []
