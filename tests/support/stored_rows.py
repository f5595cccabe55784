"""Batches, shards, chunks and files in a store, for tests that call the store directly."""

from typing import Any

from batchgate.engine.model.batch import Batch, NewBatch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.shard import QueuedShard, ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store

EMPTY = ResultChunk(seqs=(), lines=b"", succeeded=0, errored=0)


def new_batch(batch_id: str, *, workspace: str = "w", provider: str = "p", shards: int = 1, at: int = 1000) -> NewBatch:
    """Return a batch with two requests per shard that expires 500 after its creation."""
    return NewBatch(
        id=batch_id,
        workspace=workspace,
        dialect="anthropic",
        provider=provider,
        providers=(provider,),
        headers={"anthropic-version": "2023-06-01"},
        created_at=at,
        expires_at=at + 500,
        input_blob=f"{batch_id}/input",
        shards=tuple(
            Shard(index=index, first_seq=2 * index, requests=2, offset=100 * index, length=100, checksum=index)
            for index in range(shards)
        ),
    )


def input_of(new: NewBatch) -> str:
    """Return the input blob of a batch that is not made from a file."""
    assert new.input_blob is not None
    return new.input_blob


def chunk(*seqs: int, errored: int = 0) -> ResultChunk:
    lines = b"".join(b'{"n":%d}\n' % seq for seq in seqs)
    return ResultChunk(seqs=seqs, lines=lines, succeeded=len(seqs) - errored, errored=errored)


async def create(store: Store, batch_id: str, **more: object) -> tuple[Batch, list[QueuedShard]]:
    new = new_batch(batch_id, **more)  # type: ignore[arg-type]
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    return batch, list(jobs)


async def claimed(store: Store, job: QueuedShard) -> Claim:
    claim = await store.claim_shard(job)
    assert claim is not None
    return claim


async def end(store: Store, batch: Batch, jobs: list[QueuedShard], now: int = 2000) -> None:
    for job in jobs:
        await store.append_chunk(await claimed(store, job), EMPTY, shard_done=True)
    counts = Counts(total=batch.counts.total, canceled=batch.counts.total)
    results: dict[str, Any] = {"results_blob": f"{batch.id}/results", "results_size": 7}
    results["results_sha256"] = f"sha of {batch.id}/results".encode()
    await store.add_orphan_blob(f"{batch.id}/results")
    assert await store.end_batch(batch.key, counts=counts, now=now, **results)


async def create_file(store: Store, file_id: str, *, at: int = 1000, **more: object) -> File:
    """Store a file of workspace ``w``; by default it never expires."""
    given = {"workspace": "w", "provider": "openai", "purpose": "batch", "expires_at": None} | more
    new = NewFile(id=file_id, filename="f", size=3, sha256=b"s", created_at=at, blob=f"{file_id}/blob", **given)  # type: ignore[arg-type]
    await store.add_orphan_blob(f"{file_id}/blob")
    return await store.create_file(new)


async def file_page(store: Store, *, after: int | None = None, limit: int = 9, now: int = 0, **filters: object) -> str:
    """Return a page of files of workspace ``w`` as text: their ids, and a plus if there are more."""
    given = {"ascending": False, "purpose": None, "provider": None} | filters
    page = await store.list_files("w", after=after, now=now, limit=limit, **given)  # type: ignore[arg-type]
    return "".join(file.id for file in page.files) + ("+" if page.has_more else "")
