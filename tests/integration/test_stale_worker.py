"""Two workers that have claimed the same shard, as one of them was paused and considered dead."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.accounts import endpoints
from batchgate.api.anthropic.create_body import MessageBatchReader
from batchgate.api.content_encoding import content_decoder
from batchgate.app import ROWS
from batchgate.blobs import FolderBlobs
from batchgate.engine.dependencies import EngineDependencies
from batchgate.engine.dispatch.claim_policy import ClaimAllPolicy
from batchgate.engine.dispatch.router import Router
from batchgate.engine.engine import Engine
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.clock import SystemClock
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.cluster import SingleProcess
from batchgate.engine.support.steady_clock import SteadyClock
from batchgate.engine.webhooks.webhook_ports import WebhookPorts
from batchgate.providers.dialects.batch_file import file_reader
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.transport.webhook_sender import HttpWebhookSender
from batchgate.queue import MemoryQueue
from batchgate.settings import Settings
from batchgate.store.sqlite import SqliteStore
from tests.support.engine_parts import no_secret
from tests.support.running_app import create_body
from tests.support.storage_leaks import check_no_storage_leaks

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


class Provider:
    """A `Transport` that answers with its name when the test lets it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def send(self, _request: UpstreamRequest) -> UpstreamResponse:
        """Answer once the test lets it."""
        self.called.set()
        await self.may_answer.wait()
        message = MESSAGE | {"content": [{"type": "text", "text": self.name}]}
        return UpstreamResponse(status=200, headers={}, body=msgspec.json.encode(message))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "batchgate.db") as store:
        yield store


def engine_of(store: SqliteStore, blobs: FolderBlobs, provider: Provider) -> Engine:
    prices = {"*": PriceSettings(input=1, output=1)}
    settings = Settings(accounts={"anthropic": AccountSettings(provider="anthropic", api_key="k", prices=prices)})
    return Engine(
        EngineDependencies(
            store=store,
            tenants=store.tenants,
            scrub=store.scrub,
            steering=store.steering,
            events=store.events,
            usage=store.usage,
            budgets=store.budgets,
            webhooks=WebhookPorts(store=store.webhooks, sender=HttpWebhookSender(), cipher=None),
            blobs=blobs,
            queue=MemoryQueue(store.unfinished_jobs),
            claim_policy=ClaimAllPolicy(),
            cluster=SingleProcess(),
            router=Router(endpoints(settings, provider, {}, no_secret)),
            rows=ROWS,
            translator=DialectLineTranslator(),
            file_reader=file_reader,
            clock=SteadyClock(SystemClock()),
            shutdown_timeout=5.0,
            scrub_bytes_per_second=0,
        )
    )


async def submit(engine: Engine, *custom_ids: str, budget: int | None = None) -> Batch:
    async def body() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(create_body(*custom_ids))

    options = BatchOptions(budget=UNSET if budget is None else budget)
    submission = Submission(workspace="w", dialect="anthropic", provider="anthropic", headers={}, options=options)
    return await engine.batches.create(lambda: submission, body(), MessageBatchReader(content_decoder(None)))


async def ended(engine: Engine, batch: Batch) -> Batch:
    while True:
        found = await engine.batches.find("w", batch.id)
        if found.status == "ended":
            return found
        await asyncio.sleep(0)  # a lookup gives other tasks no turn


async def first_count(engine: Engine, batch: Batch) -> int:
    """Return how many requests have succeeded, once it is one or more."""
    while True:
        counts = (await engine.batches.find("w", batch.id)).counts
        if counts.succeeded:
            return counts.succeeded
        await asyncio.sleep(0)


async def answers(blobs: FolderBlobs, batch: Batch) -> list[tuple[str, str]]:
    """Read which provider answered each request."""
    assert batch.results_blob is not None
    text = b"".join([piece async for piece in blobs.stream(batch.results_blob)])
    lines = [msgspec.json.decode(line) for line in text.splitlines()]
    return [(line["custom_id"], line["result"]["message"]["content"][0]["text"]) for line in lines]


async def test_the_results_of_a_stale_worker_are_refused_and_the_batch_keeps_those_of_the_other(
    store: SqliteStore, tmp_path: Path
) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    paused, fresh = Provider("paused"), Provider("fresh")
    async with engine_of(store, blobs, paused) as stale:
        batch = await submit(stale, *"abc")
        await paused.called.wait()
        async with engine_of(store, blobs, fresh) as other:
            await fresh.called.wait()
            paused.may_answer.set()
            # The stale worker tries to store results while the other one still runs the shard, not only after it.
            await stale.drain()
            assert (await other.batches.find("w", batch.id)).counts.succeeded == 0
            fresh.may_answer.set()
            batch = await ended(other, batch)
            await asyncio.to_thread(check_no_storage_leaks, tmp_path)
    assert await answers(blobs, batch) == [("a", "fresh"), ("b", "fresh"), ("c", "fresh")]
    assert (batch.counts.succeeded, batch.repeated) == (3, 3)


async def test_a_stale_worker_that_continues_after_the_end_of_the_batch_changes_nothing(
    store: SqliteStore, tmp_path: Path
) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    paused, fresh = Provider("paused"), Provider("fresh")
    fresh.may_answer.set()
    async with engine_of(store, blobs, paused) as stale:
        batch = await submit(stale, *"ab")
        await paused.called.wait()
        async with engine_of(store, blobs, fresh) as other:
            batch = await ended(other, batch)
            paused.may_answer.set()
            await stale.drain()
            assert await other.batches.find("w", batch.id) == batch
            await asyncio.to_thread(check_no_storage_leaks, tmp_path)
    assert await answers(blobs, batch) == [("a", "fresh"), ("b", "fresh")]


async def test_a_lost_shard_holds_back_no_calls_of_the_others_of_a_batch_with_a_budget(
    store: SqliteStore, tmp_path: Path
) -> None:
    # Calls wait until the answers before them are stored. Once, they waited for ever for those of a lost shard.
    provider = Provider("p")
    async with engine_of(store, FolderBlobs(tmp_path / "blobs"), provider) as engine:
        requests = [f"r{number}" for number in range(501)]
        batch = await submit(engine, *requests, budget=10**12)
        await provider.called.wait()
        assert await store.claim_shard(QueuedShard(priority=0, batch_key=batch.key, shard=0)) is not None
        provider.may_answer.set()
        assert await first_count(engine, batch) == 1
