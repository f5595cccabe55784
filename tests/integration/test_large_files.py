"""A gateway streams a large file without keeping it in memory."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import psutil

from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.uploads import BATCH_LINE, CLOSING_BOUNDARY, MULTIPART, OPENAI, file_part, part

MB = 1024 * 1024
LARGE = 64 * MB
BLOCK = BATCH_LINE * (MB // len(BATCH_LINE)) + b" " * (MB % len(BATCH_LINE))


pytestmark = ON_FOLDER_AND_BUCKET


async def test_a_64_megabyte_file_is_uploaded_and_downloaded_with_little_memory(tmp_path: Path) -> None:
    settings, max_growth = SIMULATOR, 24 * MB
    if BlobStorage.server is not None:  # the writers of a bucket hold three parts of 8 MB
        settings, max_growth = BlobStorage.server.settings + SIMULATOR, 48 * MB

    async def body() -> AsyncIterator[bytes]:
        before, _, after = file_part(b"|").rpartition(b"|")
        yield before
        for _ in range(LARGE // MB):
            yield BLOCK
        yield after + part("purpose", "batch") + CLOSING_BOUNDARY

    received = hashlib.sha256()
    with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
        before = psutil.Process(gateway.pid).memory_info().rss
        async with aiohttp.ClientSession() as client:
            async with client.post(gateway.url + OPENAI, data=body(), headers=MULTIPART) as response:
                file = msgspec.json.decode(await response.read())
                assert (response.status, file["bytes"]) == (200, LARGE), file
            url = f"{gateway.url}{OPENAI}/{file['id']}/content"
            async with client.get(url, headers={"Accept-Encoding": "identity"}) as response:
                async for piece in response.content.iter_chunked(MB):
                    received.update(piece)
        assert received.digest() == hashlib.sha256(BLOCK * (LARGE // MB)).digest()
        assert peak_memory(gateway.pid) - before < max_growth


def peak_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
