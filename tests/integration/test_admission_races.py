"""Races in which a deferred shard is resumed while its run ends, its claim is lost, or its batch is canceled.

The capacity is small: three requests per limiter key. The provider answers when the test lets it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from batchgate.app import STORE
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.shard import QueuedShard
from batchgate.store.sqlite import SqliteStore
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

CAPACITY = 9
PER_KEY = 3
"""Requests to one model that fit in the capacity."""
PATIENCE = 10.0  # seconds
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


class Provider:
    """A provider that answers the calls to a model in the order of arrival, each when the test lets it."""

    def __init__(self) -> None:
        self._permits: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
        self._called: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a call when the test lets it."""
        model = msgspec.json.decode(await request.read())["model"]
        self._called[model].release()
        await self._permits[model].acquire()
        return web.json_response(MESSAGE)

    async def called(self, model: str, calls: int = 1) -> None:
        """Wait for a number of further calls to a model."""
        for _ in range(calls):
            await self._called[model].acquire()

    def let_answer(self, model: str, calls: int = 1) -> None:
        """Let the provider answer a number of further calls to a model."""
        for _ in range(calls):
            self._permits[model].release()


@asynccontextmanager
async def small_capacity(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[RunningApp, Provider]]:
    """Run a gateway with a small capacity, which calls a provider that the test controls."""
    monkeypatch.setattr("batchgate.engine.dispatch.claim_policy.MAX_REQUESTS", CAPACITY)
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        account = AccountSettings(provider="anthropic", base_url=url, api_key="k", concurrency=2)
        async with running_app(data_dir, accounts={"anthropic": account}, shutdown_timeout=0.0) as app:
            yield app, provider
    finally:
        await runner.cleanup()


async def create(app: RunningApp, *models: str) -> str:
    """Create a batch with a request to each model."""
    requests = [create_body(f"{model}-{number}", model=model)["requests"][0] for number, model in enumerate(models)]
    status, batch = await app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    return str(batch["id"])


async def all_succeeded(app: RunningApp, batch_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        counts = (await app.ended(batch_id))["request_counts"]
    assert counts["succeeded"] == sum(counts.values())


class HeldStore(SqliteStore):
    """A store that waits at one step until the test continues, as a remote database may."""

    step = ""
    reached: asyncio.Event
    go_on: asyncio.Event

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard late, or return the claim late."""
        await self._wait_at("claim")
        claim = await super().claim_shard(job)
        await self._wait_at("return the claim")
        return claim

    async def release_shard(self, claim: Claim) -> None:
        """Release the claim late."""
        await self._wait_at("release")
        await super().release_shard(claim)

    async def _wait_at(self, step: str) -> None:
        if step == self.step:
            self.reached.set()
            await self.go_on.wait()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> type[HeldStore]:
    """Give the gateways of a test a store that can be held."""
    monkeypatch.setattr("batchgate.installation.SqliteStore", HeldStore)
    monkeypatch.setattr(HeldStore, "step", "")
    HeldStore.reached, HeldStore.go_on = asyncio.Event(), asyncio.Event()
    return HeldStore


async def wait_released(app: RunningApp, shards: int) -> None:
    """Wait until a number of shards have been claimed and released, as there was no capacity for them."""
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(released_shards, app.data_dir) != shards:
            pass


def released_shards(data_dir: Path) -> int:
    """Count the open shards that a worker has claimed and released."""
    with closing(sqlite3.connect(data_dir / "batchgate.db")) as connection:
        query = "SELECT count(*) FROM shards WHERE epoch > 0 AND claimed = 0 AND done = 0"
        return int(connection.execute(query).fetchone()[0])


async def test_a_shard_that_is_resumed_while_its_run_ends_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: type[HeldStore]
) -> None:
    # The buffer resumed the run, which admitted no more requests. No other worker had the shard, and its batch stayed
    # in progress until a restart.
    held.step = "release"
    async with small_capacity(tmp_path, monkeypatch) as (app, provider):
        full = await create(app, *["slow"] * PER_KEY)
        await provider.called("slow")
        batch = await create(app, "quick", "slow")
        provider.let_answer("quick")
        await held.reached.wait()
        provider.let_answer("slow", PER_KEY)
        await all_succeeded(app, full)
        held.go_on.set()
        provider.let_answer("slow")
        await all_succeeded(app, batch)


async def test_a_run_that_loses_its_claim_admits_no_more_requests_and_leaves_the_capacity_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Its cancelled calls freed capacity for its own remaining requests. These were then started in a task group that
    # was ending, which raised an exception in the middle of counting.
    async with small_capacity(tmp_path, monkeypatch) as (app, provider):
        await create(app, *["slow"] * 2 * PER_KEY)
        await provider.called("slow")
        batch = await create(app, *["slow"] * PER_KEY)
        await wait_released(app, 1)
        job = min(await app.app[STORE].unfinished_jobs())
        await app.app[STORE].claim_shard(job)  # as another worker that then crashes
        provider.let_answer("slow")
        async with asyncio.timeout(PATIENCE):
            await provider.called("slow", PER_KEY)  # the last of them is of the deferred batch
        provider.let_answer("slow", 2 * PER_KEY)
        await all_succeeded(app, batch)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("short_retry_intervals")
async def test_a_shard_whose_input_cannot_be_read_leaves_its_reserved_capacity_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as the disk failed, a sound batch waited for capacity that was reserved and not used.
    async with small_capacity(tmp_path, monkeypatch) as (app, provider):
        unreadable = await create(app, *["slow"] * 2 * PER_KEY)
        await provider.called("slow")
        body = tmp_path / "blobs" / "batches" / unreadable / "input.jsonl"
        body.rename(tmp_path / "away")
        sound = await create(app, *["slow"] * PER_KEY)
        provider.let_answer("slow", 2 * PER_KEY)
        await all_succeeded(app, sound)
        (tmp_path / "away").rename(body)
        provider.let_answer("slow", PER_KEY)
        await all_succeeded(app, unreadable)


@pytest.mark.parametrize("step", ["claim", "return the claim"])
async def test_the_capacity_reserved_for_a_canceled_batch_goes_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: type[HeldStore], step: str
) -> None:
    # The shards of the next one waited forever, as no admitted request was left whose end could have resumed them.
    async with small_capacity(tmp_path, monkeypatch) as (app, provider):
        full = await create(app, *["slow"] * PER_KEY)
        await provider.called("slow")
        canceled, batch = [await create(app, *["slow"] * PER_KEY) for _ in range(2)]
        await wait_released(app, 2)
        held.step = step
        provider.let_answer("slow", PER_KEY)
        await all_succeeded(app, full)
        await held.reached.wait()
        await app.call("POST", f"{BATCHES}/{canceled}/cancel")
        held.go_on.set()
        provider.let_answer("slow", PER_KEY)
        await all_succeeded(app, batch)
        assert (await app.ended(canceled))["request_counts"]["canceled"] == PER_KEY
