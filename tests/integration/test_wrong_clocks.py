"""Clocks that jump or that differ from the database's: nothing is expired, archived or deleted by them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from batchgate.app import STORE
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.support.steady_clock import SETTLING_TIME
from tests.support import openai_batches
from tests.support.databases import DATABASES, Database, new_bare_database, new_database
from tests.support.openai_batches import chat_line
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.uploads import OPENAI, file_part, part, upload

HOUR = 3600.0
DAY = 24 * HOUR
ACCOUNTS = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
"""``simulator`` answers at once. ``busy`` never answers, so its requests wait until the batch ends."""

pytestmark = pytest.mark.usefixtures("frequent_sweeps")


@pytest.fixture
def frequent_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sweeper", "clock_watch"):
        monkeypatch.setattr(f"batchgate.engine.lifecycle.{module}.INTERVAL", 0.02)


@pytest.fixture(params=DATABASES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    with new_database(request.param, tmp_path) as database:
        async with running_gateway(tmp_path, database) as app:
            yield app


def running_gateway(folder: Path, database: Database, **more: Any) -> Any:
    return running_app(folder, database_url=database.url, accounts=ACCOUNTS, default_provider="simulator", **more)


async def wait_for_clock_problem(app: RunningApp, *, present: bool = True) -> str:
    """Wait until /health has the problem of the clock, or until it has none; return its message."""
    while True:
        _, health = await app.call("GET", "/health")
        found = [problem["message"] for problem in health["problems"] if problem["code"] == "clock_in_doubt"]
        if bool(found) is present:
            return "".join(found)
        await asyncio.sleep(0.01)


async def wait_for_sweeps(app: RunningApp) -> None:
    """Wait until the sweeper has run all its steps twice: each sweep removes the orphan blobs."""
    store = app.app[STORE]
    for number in range(2):
        await store.add_orphan_blob(f"orphan-{number}")
        while await store.list_orphan_blobs():
            # A blob that this process registers counts as being written on PostgreSQL, so it is tombstoned here.
            await store.tombstone_blob(f"orphan-{number}")
            await asyncio.sleep(0.01)


async def waiting_batch(app: RunningApp) -> str:
    """Create a batch whose only request waits until the batch expires."""
    _, batch = await app.call("POST", BATCHES, json=create_body("a", model="busy/m"))
    return str(batch["id"])


async def status(app: RunningApp, batch_id: str) -> str:
    return str((await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["processing_status"])


async def things_of_a_tenant(app: RunningApp) -> list[str]:
    """Make one of each that expires or is removed by time; return paths that answer 200 while it is there."""
    ended = (await app.ended((await app.create("a"))["id"]))["id"]
    files = await openai_batches.create(app, chat_line("a"))
    output = (await openai_batches.wait_for_final_status(app, files["id"]))["output_file_id"]
    uploaded = await upload(app, part("purpose", "batch"), file_part(openai_batches.jsonl(chat_line("b"))))
    paths = [f"{BATCHES}/{ended}/results", f"{OPENAI}/{output}/content", f"{OPENAI}/{uploaded['id']}/content"]
    paths.append(f"{BATCHES}/{await waiting_batch(app)}")
    assert await statuses(app, paths) == [200] * 4, paths
    return paths


async def statuses(app: RunningApp, paths: list[str]) -> list[int]:
    found = []
    for path in paths:
        async with app.client.get(app.url + path) as response:
            found.append(response.status)
    return found


@pytest.mark.parametrize("jump", [2 * HOUR, 25 * HOUR, 31 * DAY, 400 * DAY, -25 * HOUR])
async def test_a_clock_that_is_wrong_for_seconds_expires_and_removes_nothing(app: RunningApp, jump: float) -> None:
    paths = await things_of_a_tenant(app)
    waiting = paths[-1].rpartition("/")[2]
    app.clock.jump(jump)
    assert "the clock has jumped" in await wait_for_clock_problem(app)
    app.clock.move(3)
    await wait_for_sweeps(app)
    assert await statuses(app, paths) == [200] * 4
    app.clock.jump(-jump)
    await wait_for_clock_problem(app, present=False)
    await wait_for_sweeps(app)
    assert await statuses(app, paths) == [200] * 4
    assert await status(app, waiting) == "in_progress"


async def test_a_new_time_that_lasts_is_believed_and_what_is_due_expires(app: RunningApp) -> None:
    waiting = await waiting_batch(app)
    app.clock.jump(25 * HOUR)
    await wait_for_clock_problem(app)
    app.clock.move(SETTLING_TIME / MICROSECONDS)
    assert (await app.ended(waiting))["request_counts"]["expired"] == 1
    await wait_for_clock_problem(app, present=False)


async def test_a_batch_that_is_created_while_the_clock_is_wrong_lives_for_a_day(app: RunningApp) -> None:
    app.clock.jump(-2 * DAY)
    await wait_for_clock_problem(app)
    waiting = await waiting_batch(app)
    app.clock.jump(2 * DAY)
    await wait_for_clock_problem(app, present=False)
    await wait_for_sweeps(app)
    assert await status(app, waiting) == "in_progress"
    app.clock.move(DAY)
    assert (await app.ended(waiting))["request_counts"]["expired"] == 1


async def test_requests_run_while_the_clock_is_wrong(app: RunningApp) -> None:
    app.clock.jump(31 * DAY)
    await wait_for_clock_problem(app)
    assert (await app.ended((await app.create("a", "b"))["id"]))["request_counts"]["succeeded"] == 2
    batch = await openai_batches.create(app, chat_line("a"))
    assert (await openai_batches.wait_for_final_status(app, batch["id"]))["status"] == "completed"


@pytest.mark.parametrize("ahead", [90.0, -90.0, 2 * DAY, -2 * DAY, 31 * DAY])
async def test_a_process_whose_clock_differs_from_the_databases_expires_nothing(tmp_path: Path, ahead: float) -> None:
    with new_database("postgres", tmp_path) as database:
        async with running_gateway(tmp_path, database) as app:
            paths = await things_of_a_tenant(app)
            app.clock.database_ahead = round(ahead * MICROSECONDS)
            word = "behind" if ahead > 0 else "ahead of"
            assert f"{word} the database's clock" in await wait_for_clock_problem(app)
            app.clock.move(DAY)
            await wait_for_sweeps(app)
            assert await status(app, paths[-1].rpartition("/")[2]) == "in_progress"
            app.clock.database_ahead = 0
            await wait_for_clock_problem(app, present=False)
            assert await statuses(app, paths) == [200] * 4
            assert (await app.ended(paths[-1].rpartition("/")[2]))["request_counts"]["expired"] == 1


@asynccontextmanager
async def gateway_beside_worker_in_doubt(folder: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway beside a worker that is a day later and in doubt: by its time, every batch has expired."""
    with new_bare_database("postgres", folder) as database:
        async with running_gateway(folder, database, role="worker") as worker:
            worker.clock.database_ahead = 90 * MICROSECONDS
            await wait_for_clock_problem(worker)
            worker.clock.move(DAY)
            async with running_gateway(folder, database, role="gateway") as gateway:
                yield gateway


async def test_a_worker_in_doubt_about_its_clock_runs_what_may_have_expired(tmp_path: Path) -> None:
    async with gateway_beside_worker_in_doubt(tmp_path) as gateway:
        counts = (await gateway.ended((await gateway.create("a", "b"))["id"]))["request_counts"]
        assert (counts["succeeded"], counts["expired"]) == (2, 0)


async def test_a_worker_in_doubt_about_its_clock_writes_no_request_of_a_canceled_batch_as_expired(
    tmp_path: Path,
) -> None:
    async with gateway_beside_worker_in_doubt(tmp_path) as gateway:
        batch = await openai_batches.create(gateway, chat_line("a", model="busy/m"))
        await wait_for_refusal(gateway, batch["id"])
        with chunks_written(gateway) as chunks:
            await gateway.call("POST", f"/openai/v1/batches/{batch['id']}/cancel")
            ended = await openai_batches.wait_for_final_status(gateway, batch["id"])
        assert ended["status"] == "cancelled"
        assert chunks == []


@contextmanager
def chunks_written(app: RunningApp) -> Iterator[list[object]]:
    """Collect the chunks that are written, which are gone when the batch has ended."""
    written: list[object] = []
    with psycopg.connect(str(app.database_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE written AS SELECT * FROM chunks WHERE false")
        connection.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO written SELECT NEW.*; RETURN NEW; END'"
        )
        connection.execute("CREATE TRIGGER keep BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION keep()")
        yield written
        written += connection.execute("SELECT * FROM written").fetchall()


async def wait_for_refusal(app: RunningApp, batch_id: str) -> None:
    """Wait until a request of a batch waits after a refusal."""
    progress = {"last_refusal": None}
    while progress["last_refusal"] is None:
        await asyncio.sleep(0.01)
        _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")


@pytest.mark.parametrize("wrong", [2 * DAY, -2 * DAY])
async def test_another_process_with_the_right_clock_expires_what_is_due(tmp_path: Path, wrong: float) -> None:
    with new_database("postgres", tmp_path) as database:
        async with running_gateway(tmp_path, database) as bad, running_gateway(tmp_path, database) as good:
            bad.clock.jump(wrong)
            bad.clock.database_ahead = -round(wrong * MICROSECONDS)
            await wait_for_clock_problem(bad)
            waiting = await waiting_batch(bad)
            await wait_for_sweeps(good)
            assert await status(good, waiting) == "in_progress"
            for app in (bad, good):
                app.clock.move(DAY)
            assert (await good.ended(waiting))["request_counts"]["expired"] == 1
