"""Partial results of large shards: their order, the memory of idle callers, and batches that end meanwhile."""

import asyncio
import gc
import hashlib
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from batchgate.app import STORE
from batchgate.engine.model.batch import Batch, NewBatch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.shard import ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.installation import Role
from tests.support.blob_storage import BlobStorage
from tests.support.databases import DATABASES, Database, new_database
from tests.support.running_app import RunningApp, running_app
from tests.support.stalled_download import stalled_download, stalled_downloads

SHARD_REQUESTS = 200
MAX_MEMORY = 256 * 1024
"""The most bytes that a caller who does not read may hold."""


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path / "data") as database:
        yield database


@pytest.fixture
async def app(database: Database) -> AsyncIterator[RunningApp]:
    """Run a gateway whose worker, if it has one, knows nothing of the batches that the tests store.

    It lets downloads stall for longer than any test waits.
    """
    role: Role = "both" if database.url is None else "gateway"
    url = database.url
    async with running_app(database.path.parent, role=role, database_url=url, download_stall_timeout=600) as app:
        yield app


async def store_batch(app: RunningApp, shards: int = 2) -> tuple[Batch, list[Claim]]:
    """Store a running batch, and claim its shards."""
    now = app.clock.now()
    new = NewBatch(
        id="msgbatch_partial",
        workspace="default",
        dialect="anthropic",
        provider="simulator",
        providers=("simulator",),
        headers={},
        created_at=now,
        expires_at=now + DAY,
        input_blob="batches/msgbatch_partial/input.jsonl",
        shards=tuple(
            Shard(
                index=index,
                first_seq=index * SHARD_REQUESTS,
                requests=SHARD_REQUESTS,
                offset=100 * index,
                length=100,
                checksum=0,
            )
            for index in range(shards)
        ),
    )
    await app.app[STORE].add_orphan_blob(str(new.input_blob))
    batch, jobs = await app.app[STORE].create_batch(new)
    claims = [await app.app[STORE].claim_shard(job) for job in jobs]
    return batch, [claim for claim in claims if claim is not None]


def lines_of(claim: Claim, size: int) -> dict[int, bytes]:
    """Make a line for each request of a shard; a few are much longer, or very short."""
    noise = random.Random(claim.shard.index)
    lengths = {7: 3_000_000, 8: 1, 100: 70_000}
    first = claim.shard.first_seq
    return {
        first + number: b'{"n":%d,"text":"%s"}\n'
        % (first + number, noise.randbytes(lengths.get(number, size) // 2).hex().encode())
        for number in range(SHARD_REQUESTS)
    }


async def store_results(app: RunningApp, claim: Claim, lines: dict[int, bytes], chunks: int = 9) -> None:
    """Store results as answers come: in no order, in several chunks."""
    seqs = list(lines)
    random.Random(5).shuffle(seqs)
    for start in range(chunks):
        own = tuple(seqs[start::chunks])
        chunk = ResultChunk(seqs=own, lines=b"".join(lines[seq] for seq in own), succeeded=len(own), errored=0)
        await app.app[STORE].append_chunk(claim, chunk, shard_done=False)


def joined(*shards: dict[int, bytes]) -> bytes:
    return b"".join(lines[seq] for lines in shards for seq in sorted(lines))


async def end(app: RunningApp, batch: Batch, content: bytes) -> None:
    """End a batch as the finalizer does: store its results, then drop its chunks."""
    name = f"batches/{batch.id}/results_x.jsonl"
    (app.data_dir / "blobs" / name).parent.mkdir(parents=True, exist_ok=True)
    await app.app[STORE].add_orphan_blob(name)
    BlobStorage.write(app.data_dir, name, content)
    await app.app[STORE].end_batch(
        batch.key,
        counts=Counts(total=batch.counts.total, succeeded=batch.counts.total),
        results_blob=name,
        results_size=len(content),
        results_sha256=hashlib.sha256(content).digest(),
        now=app.clock.now(),
    )
    await app.app[STORE].drop_chunks(batch.key)


def path(batch: Batch) -> str:
    return f"/api/batches/{batch.id}/results"


async def download(app: RunningApp, batch: Batch) -> bytes:
    async with app.client.get(app.url + path(batch)) as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize("size", [10, 1000, 40_000])
async def test_the_lines_of_all_shards_come_in_order(app: RunningApp, size: int) -> None:
    batch, claims = await store_batch(app)
    shards = [lines_of(claim, size) for claim in claims]
    for claim, lines in zip(claims, shards, strict=True):
        await store_results(app, claim, lines)
    assert await download(app, batch) == joined(*shards)


async def test_requests_without_a_result_are_left_out(app: RunningApp) -> None:
    batch, claims = await store_batch(app, shards=3)
    some = {seq: line for seq, line in lines_of(claims[1], 2000).items() if seq % 3}
    await store_results(app, claims[1], some)
    assert await download(app, batch) == joined(some)


async def test_callers_that_do_not_read_hold_little_memory(app: RunningApp) -> None:
    batch, claims = await store_batch(app)
    for claim in claims:
        await store_results(app, claim, lines_of(claim, 40_000))
    await download(app, batch)  # so that what is kept for all downloads is there
    count = 8
    gc.collect()
    gc.freeze()  # so that collections are quick, however many tests this process has run
    tracemalloc.start()
    try:
        before = traced()
        async with stalled_downloads(app.url, path(batch), "Accept-Encoding: identity", count=count) as downloads:
            assert {download.status for download in downloads} == {200}
            await memory_stays_below(before + count * MAX_MEMORY, app)
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def memory_stays_below(limit: int, app: RunningApp) -> None:
    """Wait until fifty calls in a row see less memory in use: chunks that are being read take more for a moment."""
    below = 0
    async with asyncio.timeout(120):
        while below < 50:
            await app.call("GET", "/health")
            below = below + 1 if traced() < limit else 0


@pytest.mark.parametrize("size", [1000, 40_000])
async def test_the_rest_comes_from_the_result_file_if_the_batch_ends_while_a_caller_waits(
    app: RunningApp, size: int
) -> None:
    batch, claims = await store_batch(app, shards=3)
    shards = [lines_of(claim, size) for claim in claims]
    for claim, lines in zip(claims[:2], shards, strict=False):
        await store_results(app, claim, lines)
    stalled = await stalled_download(app.url, path(batch), "Accept-Encoding: identity", "Connection: close")
    try:
        await app.call("GET", "/health")
        await end(app, batch, joined(*shards))
        assert unchunked(await stalled.read_rest()) == joined(*shards)
    finally:
        stalled.connection.close()


def unchunked(body: bytes) -> bytes:
    """Decode a body with Transfer-Encoding: chunked; its last chunk must have come."""
    parts: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return b"".join(parts)
        parts.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
