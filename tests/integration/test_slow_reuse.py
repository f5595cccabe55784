"""While a batch takes over results, the others are planned, and its cancel ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.blobs.folder import FolderBlobs
from tests.integration.test_reuse import TIMEOUT, answers, create, ended_batch, params, progress, settings
from tests.support.choosy_provider import ChoosyProvider, choosy_provider
from tests.support.databases import DATABASES, Database, new_database
from tests.support.running_app import BATCHES, RunningApp, running_app


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


class HeldReads:
    """Reads of the results of some batches, which wait for the test."""

    def __init__(self) -> None:
        self.batches: frozenset[str] = frozenset()
        self.reached, self.proceed = asyncio.Event(), asyncio.Event()


@pytest.fixture
def held_reads(monkeypatch: pytest.MonkeyPatch) -> HeldReads:
    held, stream = HeldReads(), FolderBlobs.stream

    async def held_stream(blobs: FolderBlobs, name: str, *rest: Any, **options: Any) -> AsyncIterator[bytes]:
        if "results" in name and any(batch in name for batch in held.batches):
            held.reached.set()
            await held.proceed.wait()
        async for piece in stream(blobs, name, *rest, **options):
            yield piece

    monkeypatch.setattr(FolderBlobs, "stream", held_stream)
    return held


async def test_a_slow_reuse_delays_no_other_batch_and_a_cancel_ends_it_at_once(
    database: Database, held_reads: HeldReads, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(TIMEOUT),
        choosy_provider() as provider,
        running_app(tmp_path, database_url=database.url, **settings(provider)) as app,
    ):
        await check_slow_reuse(app, provider, held_reads)


async def check_slow_reuse(app: RunningApp, provider: ChoosyProvider, held_reads: HeldReads) -> None:
    slow, quick = await ended_batch(app, provider), await ended_batch(app, provider)
    held_reads.batches = frozenset({slow})
    children = [await create(app, {"r0": params("r0")}, reuse=slow) for _ in range(3)]
    await held_reads.reached.wait()
    planned = await create(app, {"n": params("n")}, **{"batchgate-lane": "auto"})
    assert (await answers(app, planned)).keys() == {"n"}
    for child in children[:2]:
        await app.call("POST", f"{BATCHES}/{child}/cancel")
        while (await progress(app, child))["status"] != "ended":
            app.clock.move(1.0)
        shown = await progress(app, child)
        assert (shown["canceled"], shown["reused"]) == (1, 0)
    held_reads.proceed.set()
    waiting = await create(app, {"r0": params("r0")}, reuse=quick)
    for child in (children[2], waiting):
        await app.ended(child)
        assert (await progress(app, child))["reused"] == 1
    assert [prompt for _, prompt in provider.calls] == ["n"]
