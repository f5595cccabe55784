"""What a create, a finalization or a removal leaves in the data folder when it does not come through: nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest

from batchgate.api.anthropic.create_body import CreateBodyReader
from batchgate.api.content_encoding import content_decoder
from batchgate.app import ENGINE
from batchgate.blobs import FolderBlobs
from batchgate.engine.model.batch import Batch, NewBatch
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import ShardJob
from batchgate.engine.model.submission import Submission
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support import failpoints
from batchgate.store.sqlite import SqliteStore
from tests.integration.contracts.test_store import input_of, new_batch
from tests.support.leftover_rows import check_nothing_is_left, leftovers
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app

T = TypeVar("T")

DAY = 24 * 3600
JSON = {"Content-Type": "application/json"}
MEGABYTE = b'{"custom_id": "large", "params": {"x": "' + b"x" * 1_100_000 + b'"}},'


@pytest.fixture(autouse=True)
def _failpoints_off_again() -> Iterator[None]:
    yield
    failpoints.arm({})


def fail_at(step: str) -> None:
    failpoints.arm({failpoints.VARIABLE: f"{step}=raise"})


async def nothing_is_left(data_dir: Path) -> None:
    await asyncio.to_thread(check_nothing_is_left, data_dir)


def files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


async def test_a_refused_create_leaves_nothing_from_the_moment_of_its_answer(gateway: RunningApp) -> None:
    for body in (b'{"requests": []}', b'{"requests": [' + MEGABYTE * 3 + b"]}", b'{"requests": [' + MEGABYTE * 3):
        status, _ = await gateway.call("POST", BATCHES, data=BytesIO(body), headers=JSON)
        assert status == 400
        assert leftovers(gateway.data_dir) == []


async def test_a_create_whose_caller_goes_away_leaves_nothing(gateway: RunningApp) -> None:
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
    while not files(gateway.data_dir):
        await gateway.call("GET", "/health")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await nothing_is_left(gateway.data_dir)
    assert files(gateway.data_dir) == []


async def test_a_create_that_the_store_refuses_leaves_nothing(gateway: RunningApp) -> None:
    connection = sqlite3.connect(gateway.data_dir / "batchgate.db", isolation_level=None)
    connection.execute("ALTER TABLE shards RENAME TO gone")
    assert (await gateway.call("POST", BATCHES, json=create_body("a")))[0] == 529
    connection.execute("ALTER TABLE gone RENAME TO shards")
    connection.close()
    await nothing_is_left(gateway.data_dir)
    assert files(gateway.data_dir) == []


@pytest.mark.parametrize("step", ["intake_spooled", "rows_written"])
async def test_a_create_that_fails_in_the_gateway_itself_leaves_all_or_nothing(gateway: RunningApp, step: str) -> None:
    fail_at(step)
    assert (await gateway.call("POST", BATCHES, json=create_body("a")))[0] == 500
    await nothing_is_left(gateway.data_dir)
    there = (await gateway.call("GET", BATCHES))[1]["data"]
    assert len(there) == len(files(gateway.data_dir)) == (1 if step == "rows_written" else 0)


@pytest.mark.parametrize("step", ["finalizing_started", "result_file_written", "batch_marked", "chunks_deleted"])
async def test_a_sealing_that_fails_is_done_again_and_leaves_one_file(gateway: RunningApp, step: str) -> None:
    fail_at(step)
    batch = await gateway.ended((await gateway.create("a", "b"))["id"])
    assert len(await gateway.results(batch["id"])) == 2
    await nothing_is_left(gateway.data_dir)
    assert len(files(gateway.data_dir)) == 2


async def test_an_archiving_that_is_cut_in_two_is_finished_by_the_next_look(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    fail_at("batch_archived")
    gateway.clock.move(29 * DAY)
    while files(gateway.data_dir):
        await gateway.call("GET", "/health")
    assert (await gateway.call("GET", f"{BATCHES}/{batch['id']}"))[1]["archived_at"] is not None
    await nothing_is_left(gateway.data_dir)


async def test_a_delete_that_is_cut_in_two_is_finished_by_the_next_look(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    fail_at("batch_deleted")
    assert (await gateway.call("DELETE", f"{BATCHES}/{batch['id']}"))[0] == 500
    assert (await gateway.call("GET", f"{BATCHES}/{batch['id']}"))[0] == 404
    while files(gateway.data_dir):
        await gateway.call("GET", "/health")
    await nothing_is_left(gateway.data_dir)


async def test_what_the_writer_of_a_killed_process_had_staged_is_removed_at_the_next_start(tmp_path: Path) -> None:
    clock = MovableClock()
    async with SqliteStore(tmp_path / "batchgate.db") as store:
        blobs = FolderBlobs(tmp_path / "blobs")
        await store.add_orphan_blob("batches/killed/input.jsonl")
        writer = blobs.writer("batches/killed/input.jsonl")
        await writer.write(bytes(3_000_000))
    assert [path.name for path in files(tmp_path)] == ["input.jsonl#1"]
    async with running_app(tmp_path, clock=clock):
        await nothing_is_left(tmp_path)
    assert files(tmp_path) == []


class Late(SqliteStore):
    """A store that is slow to create and to end batches."""

    begun: asyncio.Event
    go: asyncio.Event
    writes: list[asyncio.Future[Any]]

    async def create_batch(self, new: NewBatch) -> tuple[Batch, Sequence[ShardJob]]:
        """Create when it is let, whether it is waited for or not."""
        return await self._late(super().create_batch(new))

    async def end_batch(self, batch_key: int, **finalized: Any) -> bool:
        """End when it is let, whether it is waited for or not."""
        return await self._late(super().end_batch(batch_key, **finalized))

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Look, and then let what was late come through before the answer is there."""
        found = await super().owns_blob(owner, name)
        self.go.set()
        await asyncio.gather(*self.writes)
        return found

    async def _late(self, write: Coroutine[Any, Any, T]) -> T:
        async def when_let() -> T:
            await self.go.wait()
            return await write

        self.begun.set()
        self.writes.append(task := asyncio.ensure_future(when_let()))
        return await asyncio.shield(task)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> type[Late]:
    monkeypatch.setattr("batchgate.installation.SqliteStore", Late)
    Late.begun, Late.go, Late.writes = asyncio.Event(), asyncio.Event(), []
    return Late


async def test_a_create_that_is_cut_off_while_its_rows_are_written_has_its_input_and_runs(
    tmp_path: Path, late: type[Late]
) -> None:
    # A write that was handed to the store happens, waited for or not: once the input was removed after a cancellation,
    # and then the rows came; the batch could be neither run nor finalized.
    async with running_app(tmp_path) as app:
        creating = asyncio.create_task(app.app[ENGINE].batches.create(*submission("a", "b")))
        await late.begun.wait()
        creating.cancel()
        late.go.set()
        with pytest.raises(asyncio.CancelledError):
            await creating
        (batch,) = (await app.call("GET", BATCHES))[1]["data"]
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        await nothing_is_left(tmp_path)


async def test_a_stop_while_a_batch_is_marked_ended_keeps_its_results(tmp_path: Path, late: type[Late]) -> None:
    # The finalizer was cancelled, removed its file since no batch had it, and then the batch was marked ended with it.
    clock = MovableClock()
    async with running_app(tmp_path, clock=clock) as app:
        late.go.set()
        batch = await app.create("a")
        late.begun, late.go = asyncio.Event(), asyncio.Event()
        await late.begun.wait()
        asyncio.get_running_loop().call_later(0.2, late.go.set)
    async with running_app(tmp_path, clock=clock) as app:
        await app.ended(batch["id"])
        assert len(await app.results(batch["id"])) == 1
        await nothing_is_left(tmp_path)


def submission(*custom_ids: str) -> tuple[Callable[[], Submission], AsyncIterator[bytes], CreateBodyReader]:
    async def body() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(create_body(*custom_ids))

    told = Submission(workspace="default", dialect="anthropic", provider="simulator", headers={})
    return lambda: told, body(), CreateBodyReader(content_decoder(None))


class Interrupted(SqliteStore):
    """A store on which a create comes through while somebody looks through the names of loose blobs."""

    meanwhile: asyncio.Event
    named: asyncio.Event

    async def list_orphan_blobs(self) -> list[str]:
        """Read the names, and let something happen before they are used."""
        names = list(await super().list_orphan_blobs())
        self.named.set()
        await self.meanwhile.wait()
        return names


async def test_a_sweep_removes_no_blob_that_a_batch_has_got_since_it_was_named(tmp_path: Path) -> None:
    # The sweeper read the names of loose blobs, a create gave one of them to its batch and was through with it, and
    # the sweeper, finding that nobody was writing it any more, removed the input of an acknowledged batch.
    async with Interrupted(tmp_path / "batchgate.db") as store:
        store.meanwhile, store.named = asyncio.Event(), asyncio.Event()
        blobs = FolderBlobs(tmp_path / "blobs")
        loose = OrphanBlobs(store, blobs)
        new = new_batch("batch")
        async with loose.open_writer("batch", input_of(new)) as writer:
            sweeping = asyncio.create_task(loose.sweep())
            await store.named.wait()
            await writer.write(b"input\n")
            await writer.commit()
            await store.create_batch(new)
        store.meanwhile.set()
        await sweeping
        assert await blobs.read_range(input_of(new), 0, 5) == b"input"


async def test_a_create_whose_blob_was_taken_for_left_over_is_refused(tmp_path: Path) -> None:
    # By a gateway that was started on the same folder: its start cannot know that the create still goes on elsewhere.
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
    assert files(tmp_path) == []
