"""Storage that is locked, damaged or missing: which work waits, which calls are refused, and how it recovers."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from batchgate.engine.lifecycle import sweeper
from batchgate.store.sqlite import SqliteStore
from tests.integration.test_full_disk import expect_storage_error, wait_for_problem, wait_until_healthy
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app, simulator
from tests.support.storage_leaks import check_no_storage_leaks

pytestmark = pytest.mark.usefixtures("short_retry_intervals")

DAY = 24 * 3600
BUSY = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
"""``simulator`` answers at once. ``busy`` never answers, so its requests wait until the batch ends."""


def input_of(app: RunningApp, batch_id: str) -> Path:
    return app.data_dir / "blobs" / "batches" / batch_id / "input.jsonl"


def results_of(app: RunningApp, batch_id: str) -> Path:
    (found,) = (app.data_dir / "blobs" / "batches" / batch_id).glob("results_*")
    return found


@asynccontextmanager
async def locked(data_dir: Path) -> AsyncIterator[None]:
    """Lock the database as another process with a long transaction does."""
    with closing(sqlite3.connect(data_dir / "batchgate.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


async def test_writes_wait_for_a_locked_database_and_reads_continue(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 1.0})}
    async with running_app(tmp_path, accounts=accounts) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 2:
            pass
        async with locked(tmp_path):
            assert "locked" in await expect_storage_error(app, "POST", BATCHES, json=create_body("late"))
            assert "locked" in await wait_for_problem(app, "results")
            assert (await app.call("GET", f"{BATCHES}/{batch['id']}"))[1]["processing_status"] == "in_progress"
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] == 0
        await wait_until_healthy(app)
        await asyncio.to_thread(check_no_storage_leaks, tmp_path)


async def test_a_database_that_is_damaged_during_use_degrades_the_gateway_and_does_not_end_it(
    gateway: RunningApp,
) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    path = gateway.data_dir / "batchgate.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.write(b"\xa5" * len(whole))
    assert "database" in await wait_for_problem(gateway, "sweeping")
    assert "could not be" in await expect_storage_error(gateway, "POST", BATCHES, json=create_body("late"))
    assert "could not be" in await expect_storage_error(gateway, "GET", f"{BATCHES}/{batch['id']}")
    with path.open("r+b") as file:
        file.write(whole)
    await wait_until_healthy(gateway)
    assert len(await gateway.results(batch["id"])) == 1


def delete_file(path: Path) -> None:
    path.unlink()


def truncate_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def alter_file(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"Hello", b"Hullo"))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS = [delete_file, truncate_file, alter_file, replace_by_folder]


def restore(path: Path, content: bytes) -> None:
    if path.is_dir():
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_batch_waits_for_an_unreadable_input_and_sends_no_altered_line(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    clock = MovableClock()
    async with running_app(tmp_path, clock=clock, accounts=BUSY, default_provider="busy", shutdown_timeout=0.0) as app:
        batch_id = (await app.create("a", "b"))["id"]
    path = input_of(app, batch_id)
    content = path.read_bytes()
    fault(path)
    async with running_app(tmp_path, clock=clock, accounts={"busy": simulator()}) as app:
        text = await wait_for_problem(app, "input")
        assert batch_id in text
        assert str(tmp_path) not in text
        progress = (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]
        assert (progress["succeeded"], progress["errored"]) == (0, 0)
        restore(path, content)
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == 2
        await wait_until_healthy(app)


async def test_a_batch_with_an_unreadable_input_delays_no_other_batch_and_stays_reported(tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts=BUSY, default_provider="busy", shutdown_timeout=0.0) as app:
        broken = (await app.create("a"))["id"]
    delete_file(input_of(app, broken))
    async with running_app(tmp_path, accounts=BUSY, default_provider="simulator") as app:
        assert broken in await wait_for_problem(app, "input")
        await app.ended((await app.create("b"))["id"])
        assert broken in await wait_for_problem(app, "input")
        await app.call("POST", f"{BATCHES}/{broken}/cancel")
        # No worker reads the input to send requests any more. The finalization still needs it and reports the problem.
        assert broken in await wait_for_problem(app, "finalization")
        assert len((await app.call("GET", "/health"))[1]["problems"]) == 1


@pytest.mark.parametrize("cancel", [True, False], ids=["canceled", "expired"])
async def test_a_batch_whose_input_is_lost_ends_after_a_day_with_the_results_that_it_has(
    tmp_path: Path, cancel: bool
) -> None:
    # Once, finalization was retried forever: the batch never ended, so that it could not be deleted either.
    async with running_app(tmp_path, accounts=BUSY, default_provider="busy") as app:
        body = create_body("done", model="simulator/m")
        body["requests"] += create_body("waiting")["requests"]
        _, batch = await app.call("POST", BATCHES, json=body)
        path = f"{BATCHES}/{batch['id']}"
        while (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["succeeded"] == 0:
            pass
        delete_file(input_of(app, batch["id"]))
        if cancel:
            await app.call("POST", f"{path}/cancel")
        else:
            app.clock.move(DAY)
        assert batch["id"] in await wait_for_problem(app, "finalization")
        app.clock.move(DAY - 1)
        assert (await app.call("GET", path))[1]["processing_status"] != "ended"
        app.clock.move(1)
        counts = (await app.ended(batch["id"]))["request_counts"]
        assert (counts["succeeded"], counts["canceled" if cancel else "expired"]) == (1, 1)
        assert [line["custom_id"] for line in await app.results(batch["id"])] == ["done"]
        await wait_until_healthy(app)
        assert (await app.call("DELETE", path))[0] == 200


@pytest.mark.parametrize("fault", [delete_file, truncate_file, replace_by_folder])
async def test_unreadable_results_are_refused_with_the_reason_before_anything_is_sent(
    gateway: RunningApp, fault: Callable[[Path], None]
) -> None:
    batch = await gateway.ended((await gateway.create("a", "b"))["id"])
    path = results_of(gateway, batch["id"])
    content = path.read_bytes()
    fault(path)
    for results in (f"{BATCHES}/{batch['id']}/results", f"/api/batches/{batch['id']}/results"):
        assert path.name in await expect_storage_error(gateway, "GET", results)
    restore(path, content)
    assert len(await gateway.results(batch["id"])) == 2


@asynccontextmanager
async def row_update_refused(data_dir: Path, batch_id: str) -> AsyncIterator[None]:
    """Make updates of one batch row fail, as if its page could not be written."""
    with closing(sqlite3.connect(data_dir / "batchgate.db", isolation_level=None)) as other:
        other.execute(
            f"CREATE TRIGGER refused BEFORE UPDATE ON batches WHEN OLD.id = '{batch_id}' "
            "BEGIN SELECT RAISE(ABORT, 'no such page'); END"
        )
        yield
        other.execute("DROP TRIGGER refused")


async def test_a_batch_that_cannot_be_expired_delays_no_other_batch(tmp_path: Path) -> None:
    # Once, all expired batches were written in one transaction: an error in one of them kept all others from ending.
    async with running_app(tmp_path, accounts=BUSY, default_provider="busy", shutdown_timeout=0.0) as app:
        failing, other = [(await app.create("a"))["id"] for _ in range(2)]
        async with row_update_refused(tmp_path, failing):
            app.clock.move(DAY)
            assert "no such page" in await wait_for_problem(app, "sweeping")
            assert (await app.ended(other))["request_counts"]["expired"] == 1
            assert (await app.call("GET", f"{BATCHES}/{failing}"))[1]["processing_status"] == "in_progress"
        assert (await app.ended(failing))["request_counts"]["expired"] == 1
        await wait_until_healthy(app)


class CountingStore(SqliteStore):
    """A store that counts the attempts to archive a batch."""

    tries = 0

    async def archive_batch(self, batch_key: int, now: int) -> None:
        """Count the attempt and archive the batch."""
        CountingStore.tries += 1
        await super().archive_batch(batch_key, now)


async def test_a_batch_that_cannot_be_archived_delays_no_other_batch_and_is_retried_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock()
    async with running_app(tmp_path, clock=clock) as app:
        failing, other = [(await app.create(name))["id"] for name in "ab"]
        for batch_id in (failing, other):
            await app.ended(batch_id)
    clock.move(29 * DAY)
    monkeypatch.setattr("batchgate.installation.SqliteStore", CountingStore)
    async with row_update_refused(tmp_path, failing):
        with monkeypatch.context() as long_interval:
            long_interval.setattr(sweeper, "INTERVAL", 3600.0)
            async with running_app(tmp_path, clock=clock) as app:
                assert "no such page" in await wait_for_problem(app, "sweeping")
                await wait_until_archived(app, other)
                # Once, the batch stayed due, and the sweeper retried it without any pause, as fast as it could.
                for _ in range(20):
                    assert (await app.call("GET", f"{BATCHES}/{failing}"))[1]["archived_at"] is None
                assert CountingStore.tries == 2
    async with running_app(tmp_path, clock=clock) as app:
        await wait_until_archived(app, failing)
        await wait_until_healthy(app)


async def wait_until_archived(app: RunningApp, batch_id: str) -> None:
    while (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["archived_at"] is None:
        pass


async def test_a_blob_that_cannot_be_deleted_is_reported_and_delays_no_other_batch(gateway: RunningApp) -> None:
    # Once, the sweep stopped at the first such blob, in the order of their names.
    failing, other = [(await gateway.create(name))["id"] for name in "ab"]
    for batch_id in (failing, other):
        await gateway.ended(batch_id)
    path = results_of(gateway, failing)
    content = path.read_bytes()
    replace_by_folder(path)
    (path / "in-the-way").touch()
    gateway.clock.move(29 * DAY)
    assert failing in await wait_for_problem(gateway, "sweeping")
    while (gateway.data_dir / "blobs" / "batches" / other).exists():
        await gateway.call("GET", "/health")
    for batch_id in (failing, other):
        assert (await gateway.call("GET", f"{BATCHES}/{batch_id}"))[1]["archived_at"] is not None
    (path / "in-the-way").unlink()
    restore(path, content)
    await wait_until_healthy(gateway)
    await asyncio.to_thread(check_no_storage_leaks, gateway.data_dir)
