"""Keys, batches and files of workspaces in a store, for the contract tests of `TenantStore`."""

from batchgate.engine.model.api_key import ApiKey, Scope, hash_key
from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.daily_usage import ModelUsage
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import ResultChunk, Shard
from batchgate.engine.model.usage import Counts, Usage
from batchgate.engine.model.workspace import QuotaUsage
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore

AnyStore = SqliteStore | PostgresStore
NOW = 1_795_000_000_000_000
LATER = NOW + 1_000_000


def a_key(name: str = "k", *, workspace: str = "w", scopes: tuple[Scope, ...] = ("read",), **more: int) -> ApiKey:
    """Return a key whose id and hash are derived from its name."""
    return ApiKey(
        id=f"key_{name}",
        digest=hash_key(name),
        name=name,
        workspace=workspace,
        scopes=scopes,
        hint=name[-4:],
        created_at=NOW,
        **more,
    )


def new_batch(
    batch_id: str, *, requests: int = 2, size: int = 100, workspace: str = "w", created_at: int = NOW
) -> NewBatch:
    return NewBatch(
        id=batch_id,
        workspace=workspace,
        dialect="openai",
        provider="p",
        headers={},
        created_at=created_at,
        expires_at=NOW + DAY,
        input_blob=f"{batch_id}/input",
        shards=(Shard(index=0, first_seq=0, requests=requests, offset=0, length=size, checksum=0),),
    )


def batch_of_a_file(batch_id: str) -> NewBatch:
    return NewBatch(
        id=batch_id,
        workspace="w",
        dialect="openai",
        provider="p",
        headers={},
        created_at=NOW,
        expires_at=NOW + DAY,
        input_blob=None,
    )


async def create(store: AnyStore, new: NewBatch) -> int:
    """Create a batch and return its key."""
    if new.input_blob is not None:
        await store.add_orphan_blob(new.input_blob)
    batch, _ = await store.create_batch(new)
    return batch.key


async def upload(store: AnyStore, file_id: str, size: int, *, expires_at: int | None = None) -> None:
    await store.add_orphan_blob(f"{file_id}/content")
    new = NewFile(
        id=file_id,
        workspace="w",
        provider="p",
        purpose="batch",
        filename="a.jsonl",
        size=size,
        sha256=b"",
        created_at=NOW,
        expires_at=expires_at,
        blob=f"{file_id}/content",
    )
    await store.create_file(new)


async def run(store: AnyStore, key: int, *, succeeded: int, cost: int = 0, of: int = 2, at: int = NOW) -> None:
    """Write the results of all requests of a batch with one shard."""
    [job] = [job for job in await store.unfinished_jobs() if job.batch_key == key]
    claim = await store.claim_shard(job)
    assert claim is not None
    seqs = tuple(range(of))
    chunk = ResultChunk(
        seqs=seqs,
        lines=b"{}\n" * of,
        succeeded=succeeded,
        errored=of - succeeded,
        usage=Usage(),
        spend=Spend(direct=cost),
        models=(ModelUsage(called=CalledModel("p", "m"), succeeded=succeeded, spend=Spend(direct=cost)),),
        at=at,
    )
    await store.append_chunk(claim, chunk, shard_done=True)


async def end(store: AnyStore, key: int, *, size: int, now: int = NOW, files: tuple[NewFile, ...] = ()) -> bool:
    await store.add_orphan_blob(f"{key}/results")
    counts = Counts(total=2, succeeded=2)
    results_blob = f"{key}/results"
    return await store.end_batch(key, counts=counts, results_blob=results_blob, results_size=size, now=now, files=files)


async def quota(store: AnyStore, **quotas: int | None) -> None:
    assert await store.tenants.update_quotas("w", quotas, NOW) is not None


async def use(store: AnyStore, now: int = NOW) -> QuotaUsage:
    return await store.tenants.find_usage("w", now)
