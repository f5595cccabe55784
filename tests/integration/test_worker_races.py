"""Races between a shard's run and other events, and errors in the middle of a run."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from batchgate.app import ENGINE
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.support import failpoints
from batchgate.store.sqlite import SqliteStore
from tests.support.health import problem_texts
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator


@pytest.fixture(autouse=True)
def _disarm_failpoints() -> Iterator[None]:
    yield
    failpoints.arm_failpoints({})


def fail_at(step: str) -> None:
    failpoints.arm_failpoints({failpoints.VARIABLE: f"{step}=raise"})


async def problems(app: RunningApp) -> list[str]:
    return problem_texts((await app.call("GET", "/health"))[1])


class LateClaims(SqliteStore):
    """A store that returns claims late, as a remote database may."""

    claimed: asyncio.Event
    returned: asyncio.Event

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard, and return the claim when the test allows."""
        claim = await super().claim_shard(job)
        self.claimed.set()
        await self.returned.wait()
        return claim


async def test_a_cancel_between_the_commit_of_a_claim_and_its_return_stops_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The claim had read the batch as in progress, and the cancel found no run to stop. Then the run started, and sent
    # every request of a canceled batch.
    monkeypatch.setattr("batchgate.installation.SqliteStore", LateClaims)
    LateClaims.claimed, LateClaims.returned = asyncio.Event(), asyncio.Event()
    async with running_app(tmp_path, shutdown_timeout=0.0) as app:
        batch = await app.create("a", "b")
        await LateClaims.claimed.wait()
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        LateClaims.returned.set()
        assert (await app.ended(batch["id"]))["request_counts"]["canceled"] == 2


async def test_a_shard_that_fails_with_an_internal_error_is_run_again(gateway: RunningApp) -> None:
    # Its task ended with the exception. No other worker had the shard, and the batch stayed in progress until a
    # restart.
    fail_at("last_shard_done")
    batch = await gateway.ended((await gateway.create("a"))["id"])
    assert batch["request_counts"]["succeeded"] == 1


async def test_the_worker_continues_after_an_internal_error(gateway: RunningApp) -> None:
    fail_at("shard_claimed")
    first, second = [(await gateway.create(name))["id"] for name in "ab"]
    for batch_id in (first, second):
        assert (await gateway.ended(batch_id))["request_counts"]["succeeded"] == 1


async def seconds_for_six_batches(app: RunningApp) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for name in "abcdef":
        await app.ended((await app.create(name, headers={"x-model-provider": "simulator"}))["id"])
    return loop.time() - started


async def test_a_batch_that_cannot_be_finalized_delays_no_other(tmp_path: Path) -> None:
    # After each failure the finalizer slept, so that a few broken batches delayed every other, again and again.
    busy = simulator(rate_limit_rate=1.0, retry_after=60.0)
    async with running_app(tmp_path, accounts={"simulator": simulator(), "busy": busy}) as app:
        undisturbed = await seconds_for_six_batches(app)
        for name in "xyz":
            _, broken = await app.call(
                "POST", BATCHES, json=create_body(name, model="busy/m"), headers={"x-model-provider": "simulator"}
            )
            (tmp_path / "blobs" / "batches" / broken["id"] / "input.jsonl").rename(tmp_path / f"{name}.jsonl")
            await app.call("POST", f"{BATCHES}/{broken['id']}/cancel")
        while not any(problem.startswith("finalization") for problem in await problems(app)):
            pass
        # Compared with the same batches before, so that it holds on a busy machine; the sleeps took a second each.
        assert await seconds_for_six_batches(app) < 2 * undisturbed + 1.0
        assert (await app.call("GET", f"{BATCHES}/{broken['id']}"))[1]["processing_status"] == "canceling"


@asynccontextmanager
async def results_cannot_be_written(data_dir: Path) -> AsyncIterator[None]:
    """Make every insert of results fail."""
    with closing(sqlite3.connect(data_dir / "batchgate.db", isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON chunks BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        yield
        connection.execute("DROP TRIGGER full")


async def test_results_wait_for_failing_storage_and_their_requests_are_sent_once(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        async with results_cannot_be_written(tmp_path):
            batch = await app.create("a", "b")
            while not any(problem.startswith("results") for problem in await problems(app)):
                pass
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        assert await problems(app) == []
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] == 0


async def test_a_gateway_whose_storage_fails_can_still_be_stopped_and_counts_the_requests_sent_again(
    tmp_path: Path,
) -> None:
    # It retried the flush until that succeeded, so a SIGTERM on a full disk waited forever.
    async with running_app(tmp_path, shutdown_timeout=0.2) as app, results_cannot_be_written(tmp_path):
        batch = await app.create("a", "b")
        while not any(problem.startswith("results") for problem in await problems(app)):
            pass
        async with asyncio.timeout(120):
            await app.app[ENGINE].drain()
    async with running_app(tmp_path) as app:
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] == 2


async def test_a_shard_whose_requests_are_all_answered_when_the_gateway_stops_is_done(tmp_path: Path) -> None:
    # It was released although no request was left to send, and its batch did not end before the next start.
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    async with running_app(tmp_path, accounts=accounts) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 2:
            pass
        await app.app[ENGINE].drain()
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
