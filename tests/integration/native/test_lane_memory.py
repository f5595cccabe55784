"""Large jobs are sent and read while they pass through, and are never in memory as a whole."""

from __future__ import annotations

import sys
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator

import psutil
import pytest

from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.registry.native_lanes import provider_batches
from tests.integration.native.bulk_server import DOWNLOAD_BYTES, LINE_BYTES

MB = 1_000_000
ROW_BYTES = 2_000
JOB = NativeJob(
    batch_key=1,
    token="tok",
    account="acc",
    model="m",
    kind="chat_completions",
    seqs=b"",
    requests=DOWNLOAD_BYTES // LINE_BYTES,
    tokens=1,
    created_at=0,
    upstream_id="b",
)


class Memory:
    """The largest growth of this process since the measurement began, without the pages of files."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start = self._present()
        self.growth = 0

    def measure(self) -> None:
        """Take a sample."""
        self.growth = max(self.growth, self._present() - self._start)

    def _present(self) -> int:
        info = self._process.memory_info()
        return int(info.rss - info.shared)


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    """Start the server in another process, so that its memory does not count."""
    process = await create_subprocess_exec(
        sys.executable, "-m", "tests.integration.native.bulk_server", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()


async def generated(size: int, memory: Memory | None = None) -> AsyncIterator[PlannedRow]:
    """Yield rows of `ROW_BYTES`, each made anew."""
    for seq in range(size // ROW_BYTES):
        line = b'{"custom_id":"%s"}' % f"r{seq}".encode()
        yield PlannedRow(row_id=f"r{seq}", line=line.ljust(ROW_BYTES - 1))
        if memory is not None and seq % 500 == 0:
            memory.measure()


def client(provider: str, base_url: str, exchange: HttpExchange) -> tuple[ProviderBatches, Account]:
    batches = provider_batches(provider, exchange)
    assert batches is not None
    return batches, Account(name="acc", provider=provider, base_url=base_url, api_key="sk-a-key", timeout=120.0)


async def test_an_upload_of_100_mb_needs_less_than_16_mb(base_url: str) -> None:
    async with HttpExchange() as exchange:
        batches, account = client("openai", f"{base_url}/v1", exchange)
        await batches.upload(account, JOB, generated(MB))
        memory = Memory()
        file = await batches.upload(account, JOB, generated(100 * MB, memory))

    assert file is not None
    assert 100 * MB < int(file.removeprefix("file-")) < 101 * MB
    assert memory.growth < 16 * MB


async def test_a_create_of_100_mb_needs_less_than_16_mb(base_url: str) -> None:
    async with HttpExchange() as exchange:
        batches, account = client("anthropic", base_url, exchange)
        await batches.create(account, JOB, generated(MB))
        memory = Memory()
        created = await batches.create(account, JOB, generated(100 * MB, memory))

    assert 99 * MB < int(created.id.removeprefix("file-")) < 101 * MB
    assert memory.growth < 16 * MB


async def test_a_download_of_88_mb_needs_less_than_16_mb(base_url: str) -> None:
    upstream = UpstreamJob(id="b", status="completed", outcome="completed", results=("out",))
    async with HttpExchange() as exchange:
        batches, account = client("openai", f"{base_url}/v1", exchange)
        memory = Memory()
        seen = 0
        async for group in batches.results(account, JOB, upstream):
            assert [result.row_id for result in group] == [f"r{seen + index}" for index in range(len(group))]
            seen += len(group)
            memory.measure()

    assert seen == DOWNLOAD_BYTES // LINE_BYTES
    assert memory.growth < 16 * MB


async def test_88_mb_of_avro_need_less_than_16_mb(base_url: str) -> None:
    upstream = UpstreamJob(id="b", status="COMPLETED", outcome="completed", results=("out",))
    async with HttpExchange() as exchange:
        batches, account = client("cohere", base_url, exchange)
        memory = Memory()
        seen = 0
        async for group in batches.results(account, JOB, upstream):
            assert [result.row_id for result in group] == [f"r{seen + index}" for index in range(len(group))]
            seen += len(group)
            memory.measure()

    assert seen == DOWNLOAD_BYTES // LINE_BYTES
    assert memory.growth < 16 * MB


async def test_a_job_of_88_mb_with_its_results_needs_less_than_16_mb(base_url: str) -> None:
    async with HttpExchange() as exchange:
        batches, account = client("openrouter", f"{base_url}/v1", exchange)
        memory = Memory()
        upstream = await batches.poll(account, JOB)
        assert upstream is not None
        memory.measure()
        seen = 0
        async for group in batches.results(account, JOB, upstream):
            assert [result.row_id for result in group] == [f"r{seen + index}" for index in range(len(group))]
            seen += len(group)
            memory.measure()

    assert seen == DOWNLOAD_BYTES // LINE_BYTES
    assert memory.growth < 16 * MB
