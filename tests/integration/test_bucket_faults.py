"""A bucket that refuses, hangs, or returns wrong bytes: the errors that are reported, and the blobs that remain."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchgate.blobs import BucketBlobs, FolderBlobs, bucket, open_blobs
from batchgate.engine.model.errors import BlobError
from tests.integration.test_full_disk import expect_storage_error, wait_for_problem, wait_until_healthy
from tests.support.blob_storage import BlobStorage
from tests.support.faulty_object_server import (
    Fault,
    FaultyObjectServer,
    access_denied,
    no_fault,
    no_response,
    only_for,
    slow_down,
    truncated_response,
)
from tests.support.health import problem_texts
from tests.support.object_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, ObjectServer, closed_port
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.storage_leaks import check_no_storage_leaks
from tests.support.uploads import MULTIPART, OPENAI, file_part, form, part

pytestmark = pytest.mark.parametrize("blob_storage", ["bucket"], indirect=True)

MB = 1024 * 1024
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make calls to the bucket time out after seconds instead of most of a minute."""
    monkeypatch.setattr("batchgate.blobs.location.CLIENT_OPTIONS", bucket.CLIENT_OPTIONS | {"timeout": "5s"})
    monkeypatch.setattr(
        "batchgate.blobs.location.RETRY_OPTIONS",
        bucket.RETRY_OPTIONS | {"max_retries": 1, "retry_timeout": timedelta(seconds=1)},
    )
    monkeypatch.setattr(bucket, "ABORT_TIMEOUT", 1.0)
    monkeypatch.setattr("batchgate.engine.storage.orphan_blobs.REMOVAL_TIMEOUT", 1.0)


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyObjectServer]:
    """Make gateways reach the bucket through a proxy that injects the faults of a test."""
    assert BlobStorage.server is not None
    store = FaultyObjectServer(BlobStorage.server)
    async with store.running() as server:
        monkeypatch.setattr(BlobStorage, "server", server)
        yield store


def open_storage(server: ObjectServer | None) -> FolderBlobs | BucketBlobs:
    assert server is not None
    return open_blobs(server.blob_url, Path(), server.options)


async def write_blob(blobs: FolderBlobs | BucketBlobs, name: str, megabytes: int) -> None:
    writer = blobs.writer(name)
    try:
        for _ in range(megabytes):
            await writer.write(bytes(MB))
        await writer.commit()
    finally:
        await writer.abort()


PART_2 = only_for(access_denied, method="PUT", query="partNumber=2")
LAST_PART = only_for(access_denied, method="PUT", query="partNumber=3")
COMPLETE = only_for(access_denied, method="POST", query="uploadId")
BEGIN = only_for(access_denied, method="POST", query="uploads")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(BEGIN, "access denied", id="begin"),
        pytest.param(PART_2, "access denied", id="part"),
        pytest.param(LAST_PART, "access denied", id="last part"),
        pytest.param(COMPLETE, "access denied", id="complete"),
        pytest.param(
            only_for(slow_down, query="partNumber=2"), r"503 Service Unavailable \(SlowDown\)", id="overloaded"
        ),
        pytest.param(only_for(no_response, query="partNumber=2"), "did not answer in time", id="hanging"),
    ],
)
@pytest.mark.usefixtures("short_timeouts")
async def test_an_upload_that_fails_at_any_step_reports_the_reason_and_leaves_no_parts(
    faulty: FaultyObjectServer, fault: Fault, reason: str
) -> None:
    blobs = open_storage(BlobStorage.server)
    faulty.fault = fault
    with pytest.raises(BlobError, match=rf"^files/f: .*{reason}") as raised:
        await write_blob(blobs, "files/f", 20)
    assert "AKIAPLANTEDKEY" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert BlobStorage.server is not None
    assert BlobStorage.server.names() + BlobStorage.server.unfinished_uploads() == []
    faulty.fault = no_fault
    await write_blob(blobs, "files/f", 20)
    assert BlobStorage.server.names() == ["files/f"]


async def test_a_failed_writer_writes_nothing_more(faulty: FaultyObjectServer) -> None:
    # After the first fault the library forgets the name: the next bytes went to an object named like the prefix.
    blobs = open_storage(BlobStorage.server)
    writer = blobs.writer("files/f")
    faulty.fault = BEGIN
    with pytest.raises(BlobError, match="access denied"):
        await writer.write(bytes(9 * MB))
    faulty.fault = no_fault
    for late_call in (writer.write(bytes(9 * MB)), writer.commit()):
        with pytest.raises(BlobError, match="after its commit, abort or failure"):
            await late_call
    assert BlobStorage.server is not None
    listed = BlobStorage.server.client.list_objects_v2(
        Bucket=BlobStorage.server.bucket, Prefix=BlobStorage.server.prefix
    )
    assert "Contents" not in listed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (access_denied, "access denied: the store answered 403 Forbidden"),
        (slow_down, "the store answered 503 Service Unavailable"),
        (no_response, "did not answer in time"),
        (truncated_response, None),
    ],
)
@pytest.mark.usefixtures("short_timeouts")
async def test_every_call_to_a_faulty_bucket_reports_the_reason_and_ends_in_time(
    faulty: FaultyObjectServer, fault: Fault, reason: str | None
) -> None:
    blobs = open_storage(BlobStorage.server)
    await write_blob(blobs, "a", 1)
    faulty.fault = fault
    calls: list[Callable[[], Any]] = [
        blobs.check,
        lambda: blobs.find("a"),
        lambda: blobs.read_range("a", 0, 10),
        lambda: anext(blobs.stream("a", 0, 10)),
        lambda: blobs.delete("a"),
        lambda: write_blob(blobs, "b", 1),
    ]

    async def expect_timely_error(call: Callable[[], Any]) -> None:
        started = time.monotonic()
        with pytest.raises(BlobError, match=reason or "^a: "):
            await call()
        assert time.monotonic() - started < 10

    await asyncio.gather(*map(expect_timely_error, calls[2:4] if fault is truncated_response else calls))


def test_a_call_to_a_hanging_bucket_times_out_within_a_minute() -> None:
    # Measured with these values: 40 seconds. A retry starts only while the retry timeout has not elapsed.
    one_try = float(str(bucket.CLIENT_OPTIONS["timeout"]).removesuffix("s"))
    assert bucket.RETRY_OPTIONS["retry_timeout"].total_seconds() + one_try + bucket.ABORT_TIMEOUT <= 60


@pytest.mark.usefixtures("short_timeouts")
async def test_a_gateway_does_not_start_without_its_bucket_and_reports_why_in_one_line(
    faulty: FaultyObjectServer, tmp_path: Path
) -> None:
    assert BlobStorage.server is not None
    for fault, reason in ((access_denied, "access denied"), (no_response, "did not answer in time")):
        faulty.fault = fault
        with pytest.raises(BlobError, match=rf"^{BlobStorage.server.blob_url}: .*{reason}"):
            async with running_app(tmp_path):
                pass
    faulty.fault = no_fault
    with pytest.raises(BlobError, match=r"^s3://nowhere/x: there is no such bucket or container$"):
        async with running_app(tmp_path, blob_url="s3://nowhere/x"):
            pass
    options = BlobStorage.server.options | {"endpoint": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(BlobError, match=rf"^{BlobStorage.server.blob_url}: the store cannot be reached$"):
        async with running_app(tmp_path, storage_options=options):
            pass


@pytest.mark.usefixtures("short_retry_intervals")
async def test_a_gateway_reports_a_bucket_that_denies_access_for_a_while_and_loses_nothing(
    faulty: FaultyObjectServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await app.create("a", "b", "c")
        await app.ended(batch["id"])
        _, running = await app.call("POST", BATCHES, json=create_body("d", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 1:
            pass
        faulty.fault = access_denied
        assert "access denied" in await expect_storage_error(app, "POST", BATCHES, json=create_body("late"))
        assert "access denied" in await wait_for_problem(app, "finalization")
        assert "access denied" in await expect_storage_error(app, "GET", f"{BATCHES}/{batch['id']}/results")
        health = (await app.call("GET", "/health"))[1]
        assert health["status"] == "degraded"
        faulty.fault = no_fault
        await app.ended(running["id"])
        await wait_until_healthy(app)
        assert [line["custom_id"] for line in await app.results(batch["id"])] == ["a", "b", "c"]
        await asyncio.to_thread(check_no_storage_leaks, tmp_path)
    output = caplog.text + str(health)
    assert "access denied" in output
    for secret in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, "127.0.0.1:"):
        assert secret not in caplog.text.replace(app.url, "")


@pytest.mark.usefixtures("short_retry_intervals")
@pytest.mark.usefixtures("short_timeouts")
async def test_a_batch_waits_for_a_bucket_that_hangs_while_its_shards_are_read(
    faulty: FaultyObjectServer, tmp_path: Path
) -> None:
    busy = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=busy, default_provider="busy", shutdown_timeout=0.0) as app:
        batch_id = (await app.create("a", "b"))["id"]
    async with running_app(tmp_path, accounts={"busy": simulator(latency=0.2)}) as app:
        faulty.fault = no_response
        while not any(
            "did not answer in time" in output for output in problem_texts((await app.call("GET", "/health"))[1])
        ):
            if (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["processing_status"] == "ended":
                break
        faulty.fault = no_fault
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == 2
        await wait_until_healthy(app)


async def upload_file(app: RunningApp, content: bytes) -> str:
    body = BytesIO(form(part("purpose", "user_data"), file_part(content, "a.bin")))
    status, file = await app.call("POST", OPENAI, data=body, headers=MULTIPART)
    assert status == 200, file
    return f"{OPENAI}/{file['id']}/content"


@pytest.mark.parametrize("fault", [access_denied, truncated_response, slow_down])
async def test_a_fault_during_a_download_closes_the_connection(
    faulty: FaultyObjectServer, tmp_path: Path, fault: Fault
) -> None:
    async with running_app(tmp_path) as app:
        path = await upload_file(app, bytes(20 * MB))

        async def fault_from_third_piece(request: Any) -> Any:
            return await fault(request) if request.headers.get("Range", "").startswith("bytes=8388608-") else None

        faulty.fault = fault_from_third_piece
        async with app.client.get(app.url + path, headers=PLAIN) as response:
            assert response.status == 200
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
                await response.read()
        faulty.fault = no_fault
        headers = PLAIN | {"Range": "bytes=8388608-", "If-Range": response.headers["ETag"]}
        async with app.client.get(app.url + path, headers=headers) as response:
            assert (response.status, await response.read()) == (206, bytes(12 * MB))


async def test_a_download_of_a_truncated_or_missing_blob_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with running_app(tmp_path) as app:
        path = await upload_file(app, b"0123456789")
        (name,) = BlobStorage.names(tmp_path)
        BlobStorage.write(tmp_path, name, b"012345")
        status, error = await app.call("GET", path)
        assert (status, "damaged: 6 bytes, not 10" in error["error"]["message"]) == (503, True)
        assert BlobStorage.server is not None
        BlobStorage.server.remove(name)
        status, error = await app.call("GET", path)
        assert (status, f"{name}: No such file or directory" in error["error"]["message"]) == (503, True)


async def test_a_head_request_makes_one_bucket_call_and_reads_nothing(
    faulty: FaultyObjectServer, tmp_path: Path
) -> None:
    async with running_app(tmp_path) as app:
        path = await upload_file(app, b"0123456789")
        faulty.calls.clear()
        async with app.client.head(app.url + path) as response:
            assert (response.status, response.content_length) == (200, 10)
        assert [call.partition(" ")[0] for call in faulty.calls] == ["HEAD"]


async def test_the_gateway_reads_the_bucket_no_faster_than_a_slow_client_downloads(
    faulty: FaultyObjectServer, tmp_path: Path
) -> None:
    async with running_app(tmp_path) as app:
        path = await upload_file(app, bytes(80 * MB))
        faulty.calls.clear()
        async with app.client.get(app.url + path, headers=PLAIN) as response:
            await response.content.readexactly(MB)
            calls_seen = -1
            while calls_seen < len(faulty.calls):  # until no more calls are made
                calls_seen = len(faulty.calls)
                await asyncio.sleep(0.3)
            assert calls_seen * bucket.READ_SIZE < 40 * MB
            assert len(await response.read()) == 79 * MB
