"""Callers that read a download slowly, not at all, or go away: what they cost, and when it comes back."""

import gc
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.settings import ApiKeySettings
from tests.support.error_responses import check_openai_error
from tests.support.running_app import BATCHES, RunningApp, params, running_app
from tests.support.stalled_download import open_files, stalled_downloads
from tests.support.uploads import OPENAI as FILES
from tests.support.uploads import file_part, part, upload

GZIP = "Accept-Encoding: gzip"
PLAIN = "Accept-Encoding: identity"
JSON = {"Content-Type": "application/json"}
NOISE = random.Random(11)


async def large_download(app: RunningApp, kind: str) -> tuple[str, str]:
    """Store something of several megabytes, and return its path and the header that makes it a download of a kind."""
    encoding = GZIP if kind.startswith("gzip") else PLAIN
    if kind in {"stored", "gzip"}:
        content = b"".join(b'{"text":"%s"}\n' % NOISE.randbytes(2048).hex().encode() for _ in range(4096))
        file = await upload(app, part("purpose", "user_data"), file_part(content))
        return f"{FILES}/{file['id']}/content", encoding
    body = {
        "requests": [
            {"custom_id": f"r{number}", "params": params() | {"system": NOISE.randbytes(32 * 1024).hex()}}
            for number in range(256)
        ]
    }
    status, batch = await app.call("POST", BATCHES, data=BytesIO(msgspec.json.encode(body)), headers=JSON)
    assert status == 200, batch
    if kind == "results":
        return f"{BATCHES}/{batch['id']}/results", encoding
    return f"{FILES}/file-input-{batch['id']}/content", encoding


@asynccontextmanager
async def app_with_download(data_dir: Path, kind: str, **settings: Any) -> AsyncIterator[tuple[RunningApp, str, str]]:
    """Run a gateway that has a large download."""
    async with running_app(data_dir, **settings) as app:
        yield app, *await large_download(app, kind)


async def settle(app: RunningApp, count: int) -> None:
    """Wait until the gateway has so many blobs open."""
    while open_files(app.data_dir / "blobs") != count:
        await app.call("GET", "/health")


@pytest.mark.parametrize("kind", ["stored", "gzip", "view", "gzip view"])
async def test_everything_comes_back_at_once_when_callers_go(tmp_path: Path, kind: str) -> None:
    async with app_with_download(tmp_path, kind) as (app, path, encoding):
        gc.disable()
        try:
            async with stalled_downloads(app.url, path, encoding, count=20) as downloads:
                assert {download.status for download in downloads} == {200}
                await settle(app, 20)
            await settle(app, 0)
        finally:
            gc.enable()


@pytest.mark.parametrize("kind", ["stored", "gzip", "view", "gzip view"])
async def test_a_caller_that_hangs_up_is_no_error(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with app_with_download(tmp_path, kind) as (app, path, encoding):
        caplog.set_level(logging.INFO)
        async with stalled_downloads(app.url, path, encoding, count=5):
            await settle(app, 5)
        await settle(app, 0)
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []
    aborted = [record for record in caplog.records if getattr(record, "action", None) == "download_aborted"]
    assert [record.message for record in aborted] == ["download aborted: the caller disconnected"] * 5


@pytest.mark.parametrize("kind", ["stored", "gzip", "view", "gzip view"])
async def test_a_caller_that_reads_nothing_is_disconnected(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with app_with_download(tmp_path, kind, download_stall_timeout=0.2) as (app, path, encoding):
        caplog.set_level(logging.INFO)
        async with stalled_downloads(app.url, path, encoding, count=3) as downloads:
            while sum("read nothing" in record.message for record in caplog.records) < 3:
                await app.call("GET", "/health")
            assert [await download.was_cut() for download in downloads] == [True] * 3
        await settle(app, 0)
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("kind", ["stored", "view"])
async def test_downloads_of_a_key_are_limited_and_other_keys_are_served(tmp_path: Path, kind: str) -> None:
    one, two = "key-one-0123456789", "key-two-0123456789"
    keys = {"one": ApiKeySettings(key=one), "two": ApiKeySettings(key=two)}
    async with running_app(tmp_path, max_downloads_per_key=2, api_keys=keys) as app:
        app.client.headers["x-api-key"] = one
        path, encoding = await large_download(app, kind)
        async with stalled_downloads(app.url, path, encoding, f"x-api-key: {one}", count=2):
            async with app.client.get(app.url + path) as response:
                message = check_openai_error(
                    response.status,
                    response.headers,
                    await response.read(),
                    expected=(503, "server_error"),
                    param=None,
                    code="too_many_downloads",
                )
                assert int(response.headers["Retry-After"]) > 0
            assert message == "This API key has 2 downloads open, the maximum. Try again when one has ended."
            async with app.client.get(app.url + path, headers={"x-api-key": two}) as response:
                assert response.status == 200
                await response.read()
        await settle(app, 0)
        async with app.client.get(app.url + path) as response:
            assert response.status == 200
            await response.read()


async def test_a_slow_caller_that_reads_receives_everything(tmp_path: Path) -> None:
    async with app_with_download(tmp_path, "stored", download_stall_timeout=30) as (app, path, encoding):
        async with app.client.get(app.url + path, headers={"Accept-Encoding": "identity"}) as response:
            whole = await response.read()
        async with stalled_downloads(app.url, path, encoding, "Connection: close", count=1) as (download,):
            await settle(app, 1)
            assert await download.read_rest() == whole
