"""Moments in which shards that wait for room are let in while something else becomes of them.

The room is small, so that each gate holds three requests, and a provider answers when the test lets it.
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

from batchgate.app import STORE
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.shard import ShardJob
from batchgate.settings import AccountSettings
from batchgate.store.sqlite import SqliteStore
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

ROOM = 9
GATE = 3
"""So many requests to one model fit in it."""
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
    """A provider that answers the calls to a model in the order of their coming, as many as it is let."""

    def __init__(self) -> None:
        self._let: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
        self._asked: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a call when it is let."""
        model = msgspec.json.decode(await request.read())["model"]
        self._asked[model].release()
        await self._let[model].acquire()
        return web.json_response(MESSAGE)

    async def asked(self, model: str, calls: int = 1) -> None:
        """Wait for so many more calls to a model."""
        for _ in range(calls):
            await self._asked[model].acquire()

    def let(self, model: str, calls: int = 1) -> None:
        """Let it answer some more calls to a model."""
        for _ in range(calls):
            self._let[model].release()


@asynccontextmanager
async def small_room(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[RunningApp, Provider]]:
    """Run a gateway with little room, which calls a provider that waits to be let."""
    monkeypatch.setattr("batchgate.engine.dispatch.claim_policy.REQUESTS", ROOM)
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
    """A store that waits at one step for as long as a test holds it, as a database across a network may."""

    step = ""
    reached: asyncio.Event
    go_on: asyncio.Event

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Claim late, or tell of it late."""
        await self._wait_at("claim")
        claim = await super().claim_shard(job)
        await self._wait_at("tell of the claim")
        return claim

    async def release_shard(self, claim: Claim) -> None:
        """Let go late."""
        await self._wait_at("release")
        await super().release_shard(claim)

    async def _wait_at(self, step: str) -> None:
        if step == self.step:
            self.reached.set()
            await self.go_on.wait()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> type[HeldStore]:
    """Let the gateways of a test have a store that can be held."""
    monkeypatch.setattr("batchgate.installation.SqliteStore", HeldStore)
    monkeypatch.setattr(HeldStore, "step", "")
    HeldStore.reached, HeldStore.go_on = asyncio.Event(), asyncio.Event()
    return HeldStore


async def wait_outside(app: RunningApp, shards: int) -> None:
    """Wait until so many shards have been claimed and let go, as there was no room for them."""
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(let_go, app.data_dir) != shards:
            pass


def let_go(data_dir: Path) -> int:
    """Count the open shards that a worker had and has no more."""
    with closing(sqlite3.connect(data_dir / "batchgate.db")) as connection:
        query = "SELECT count(*) FROM shards WHERE epoch > 0 AND claimed = 0 AND done = 0"
        return int(connection.execute(query).fetchone()[0])


async def test_a_shard_that_is_let_in_while_its_run_ends_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: type[HeldStore]
) -> None:
    # The room called the run, which took nothing up any more; nobody else had the shard, and its batch stayed in
    # progress until a restart.
    held.step = "release"
    async with small_room(tmp_path, monkeypatch) as (app, provider):
        full = await create(app, *["slow"] * GATE)
        await provider.asked("slow")
        batch = await create(app, "quick", "slow")
        provider.let("quick")
        await held.reached.wait()
        provider.let("slow", GATE)
        await all_succeeded(app, full)
        held.go_on.set()
        provider.let("slow")
        await all_succeeded(app, batch)


async def test_a_run_that_loses_its_shard_takes_nothing_more_up_and_leaves_the_room_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The calls that it gave up made room for its own rest, which was then begun in a group of tasks that was ending:
    # an exception in the middle of counting.
    async with small_room(tmp_path, monkeypatch) as (app, provider):
        await create(app, *["slow"] * 2 * GATE)
        await provider.asked("slow")
        batch = await create(app, *["slow"] * GATE)
        await wait_outside(app, 1)
        job = min(await app.app[STORE].unfinished_jobs())
        await app.app[STORE].claim_shard(job)  # as another worker does, which dies then
        provider.let("slow")
        async with asyncio.timeout(PATIENCE):
            await provider.asked("slow", GATE)  # the last of them is of the batch that waited
        provider.let("slow", 2 * GATE)
        await all_succeeded(app, batch)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("short_retry_intervals")
async def test_a_shard_whose_input_cannot_be_read_leaves_the_room_that_was_kept_for_it_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as the disk was not well, a sound batch waited for room that nobody used.
    async with small_room(tmp_path, monkeypatch) as (app, provider):
        unreadable = await create(app, *["slow"] * 2 * GATE)
        await provider.asked("slow")
        body = tmp_path / "blobs" / "batches" / unreadable / "input.jsonl"
        body.rename(tmp_path / "away")
        sound = await create(app, *["slow"] * GATE)
        provider.let("slow", 2 * GATE)
        await all_succeeded(app, sound)
        (tmp_path / "away").rename(body)
        provider.let("slow", GATE)
        await all_succeeded(app, unreadable)


@pytest.mark.parametrize("step", ["claim", "tell of the claim"])
async def test_the_room_that_was_kept_for_a_batch_which_is_canceled_goes_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: type[HeldStore], step: str
) -> None:
    # The shards of the next one waited for ever, as nothing was held any more that could have been given back.
    async with small_room(tmp_path, monkeypatch) as (app, provider):
        full = await create(app, *["slow"] * GATE)
        await provider.asked("slow")
        canceled, batch = [await create(app, *["slow"] * GATE) for _ in range(2)]
        await wait_outside(app, 2)
        held.step = step
        provider.let("slow", GATE)
        await all_succeeded(app, full)
        await held.reached.wait()
        await app.call("POST", f"{BATCHES}/{canceled}/cancel")
        held.go_on.set()
        provider.let("slow", GATE)
        await all_succeeded(app, batch)
        assert (await app.ended(canceled))["request_counts"]["canceled"] == GATE
