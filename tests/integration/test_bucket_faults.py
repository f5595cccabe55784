"""A bucket that refuses, hangs, or gives other bytes than it was given: what is said, and what is left."""

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
from tests.integration.test_full_disk import problem, refused, well_again
from tests.support.bodies import Bodies
from tests.support.faulty_store import Fault, FaultyStore, cut, denied, hanging, only, overloaded, passed_on
from tests.support.health import problem_texts
from tests.support.leftover_rows import check_nothing_is_left
from tests.support.object_server import KEY, SECRET, ObjectServer, closed_port
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.uploads import MULTIPART, OPENAI, file_part, form, part

pytestmark = pytest.mark.parametrize("bodies", ["bucket"], indirect=True)

MB = 1024 * 1024
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store be given up after a moment, as it is after most of a minute."""
    monkeypatch.setattr("batchgate.blobs.location.CLIENT_OPTIONS", bucket.CLIENT_OPTIONS | {"timeout": "2s"})
    monkeypatch.setattr(
        "batchgate.blobs.location.RETRY_OPTIONS",
        bucket.RETRY_OPTIONS | {"max_retries": 1, "retry_timeout": timedelta(seconds=1)},
    )
    monkeypatch.setattr(bucket, "ABORT_TIMEOUT", 1.0)
    monkeypatch.setattr("batchgate.engine.storage.orphan_blobs.REMOVAL_PATIENCE", 1.0)


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyStore]:
    """Let gateways reach the bucket through a server that fails when a test says so."""
    assert Bodies.server is not None
    store = FaultyStore(Bodies.server)
    async with store.running() as server:
        monkeypatch.setattr(Bodies, "server", server)
        yield store


def opened(server: ObjectServer | None) -> FolderBlobs | BucketBlobs:
    assert server is not None
    return open_blobs(server.blob_url, Path(), server.options)


async def written(blobs: FolderBlobs | BucketBlobs, name: str, megabytes: int) -> None:
    writer = blobs.writer(name)
    try:
        for _ in range(megabytes):
            await writer.write(bytes(MB))
        await writer.commit()
    finally:
        await writer.abort()


PART_2 = only(denied, method="PUT", query="partNumber=2")
LAST_PART = only(denied, method="PUT", query="partNumber=3")
COMPLETE = only(denied, method="POST", query="uploadId")
BEGIN = only(denied, method="POST", query="uploads")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(BEGIN, "access denied", id="begin"),
        pytest.param(PART_2, "access denied", id="part"),
        pytest.param(LAST_PART, "access denied", id="last part"),
        pytest.param(COMPLETE, "access denied", id="complete"),
        pytest.param(only(overloaded, query="partNumber=2"), r"503 Service Unavailable \(SlowDown\)", id="overloaded"),
        pytest.param(only(hanging, query="partNumber=2"), "did not answer in time", id="hanging"),
    ],
)
@pytest.mark.usefixtures("given_up_soon")
async def test_an_upload_that_fails_at_any_step_says_why_and_leaves_no_parts(
    faulty: FaultyStore, fault: Fault, reason: str
) -> None:
    blobs = opened(Bodies.server)
    faulty.fault = fault
    with pytest.raises(BlobError, match=rf"^files/f: .*{reason}") as raised:
        await written(blobs, "files/f", 20)
    assert "AKIAPLANTEDKEY" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert Bodies.server is not None
    assert Bodies.server.names() + Bodies.server.uploads() == []
    faulty.fault = passed_on
    await written(blobs, "files/f", 20)
    assert Bodies.server.names() == ["files/f"]


async def test_a_writer_that_has_failed_writes_nothing_more_anywhere(faulty: FaultyStore) -> None:
    # The library forgets the name with the first fault: the next bytes went to an object called as the prefix.
    blobs = opened(Bodies.server)
    writer = blobs.writer("files/f")
    faulty.fault = BEGIN
    with pytest.raises(BlobError, match="access denied"):
        await writer.write(bytes(9 * MB))
    faulty.fault = passed_on
    for after in (writer.write(bytes(9 * MB)), writer.commit()):
        with pytest.raises(BlobError, match="after its commit, abort or failure"):
            await after
    assert Bodies.server is not None
    listed = Bodies.server.client.list_objects_v2(Bucket=Bodies.server.bucket, Prefix=Bodies.server.prefix)
    assert "Contents" not in listed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (denied, "access denied: the store answered 403 Forbidden"),
        (overloaded, "the store answered 503 Service Unavailable"),
        (hanging, "did not answer in time"),
        (cut, None),
    ],
)
@pytest.mark.usefixtures("given_up_soon")
async def test_every_call_says_what_is_wrong_and_none_waits_for_ever(
    faulty: FaultyStore, fault: Fault, reason: str | None
) -> None:
    blobs = opened(Bodies.server)
    await written(blobs, "a", 1)
    faulty.fault = fault
    calls: list[Callable[[], Any]] = [
        blobs.check,
        lambda: blobs.find("a"),
        lambda: blobs.read_range("a", 0, 10),
        lambda: anext(blobs.stream("a", 0, 10)),
        lambda: blobs.delete("a"),
        lambda: written(blobs, "b", 1),
    ]
    for call in calls[2:4] if fault is cut else calls:
        begun = time.monotonic()
        with pytest.raises(BlobError, match=reason or "^a: "):
            await call()
        assert time.monotonic() - begun < 10


def test_a_store_that_hangs_is_given_up_within_a_minute() -> None:
    # Measured with these values: 40 seconds. Another try begins only while the time for tries is not over.
    one_try = float(str(bucket.CLIENT_OPTIONS["timeout"]).removesuffix("s"))
    assert bucket.RETRY_OPTIONS["retry_timeout"].total_seconds() + one_try + bucket.ABORT_TIMEOUT <= 60


@pytest.mark.usefixtures("given_up_soon")
async def test_a_gateway_does_not_start_without_its_bucket_and_says_so_in_one_line(
    faulty: FaultyStore, tmp_path: Path
) -> None:
    assert Bodies.server is not None
    for fault, reason in ((denied, "access denied"), (hanging, "did not answer in time")):
        faulty.fault = fault
        with pytest.raises(BlobError, match=rf"^{Bodies.server.blob_url}: .*{reason}"):
            async with running_app(tmp_path):
                pass
    faulty.fault = passed_on
    with pytest.raises(BlobError, match=r"^s3://nowhere/x: there is no such bucket or container$"):
        async with running_app(tmp_path, blob_url="s3://nowhere/x"):
            pass
    options = Bodies.server.options | {"endpoint": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(BlobError, match=rf"^{Bodies.server.blob_url}: the store cannot be reached$"):
        async with running_app(tmp_path, storage_options=options):
            pass


@pytest.mark.usefixtures("impatient")
async def test_a_bucket_that_refuses_for_a_while_is_said_refused_to_callers_and_loses_nothing(
    faulty: FaultyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await app.create("a", "b", "c")
        await app.ended(batch["id"])
        _, running = await app.call("POST", BATCHES, json=create_body("d", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 1:
            pass
        faulty.fault = denied
        assert "access denied" in await refused(app, "POST", BATCHES, json=create_body("late"))
        assert "access denied" in await problem(app, "finalization")
        assert "access denied" in await refused(app, "GET", f"{BATCHES}/{batch['id']}/results")
        health = (await app.call("GET", "/health"))[1]
        assert health["status"] == "degraded"
        faulty.fault = passed_on
        await app.ended(running["id"])
        await well_again(app)
        assert [line["custom_id"] for line in await app.results(batch["id"])] == ["a", "b", "c"]
        await asyncio.to_thread(check_nothing_is_left, tmp_path)
    told = caplog.text + str(health)
    assert "access denied" in told
    for secret in (KEY, SECRET, "127.0.0.1:"):
        assert secret not in caplog.text.replace(app.url, "")


@pytest.mark.usefixtures("impatient")
@pytest.mark.usefixtures("given_up_soon")
async def test_a_bucket_that_hangs_while_shards_are_read_is_waited_for(faulty: FaultyStore, tmp_path: Path) -> None:
    busy = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=busy, default_provider="busy", shutdown_timeout=0.0) as app:
        batch_id = (await app.create("a", "b"))["id"]
    async with running_app(tmp_path, accounts={"busy": simulator(latency=0.2)}) as app:
        faulty.fault = hanging
        while not any(
            "did not answer in time" in told for told in problem_texts((await app.call("GET", "/health"))[1])
        ):
            if (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["processing_status"] == "ended":
                break
        faulty.fault = passed_on
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == 2
        await well_again(app)


async def uploaded(app: RunningApp, content: bytes) -> str:
    body = BytesIO(form(part("purpose", "user_data"), file_part(content, "a.bin")))
    status, file = await app.call("POST", OPENAI, data=body, headers=MULTIPART)
    assert status == 200, file
    return f"{OPENAI}/{file['id']}/content"


@pytest.mark.parametrize("fault", [denied, cut, overloaded])
async def test_a_fault_in_the_middle_of_a_download_breaks_the_connection_off(
    faulty: FaultyStore, tmp_path: Path, fault: Fault
) -> None:
    async with running_app(tmp_path) as app:
        path = await uploaded(app, bytes(20 * MB))

        async def from_the_third_piece(request: Any) -> Any:
            return await fault(request) if request.headers.get("Range", "").startswith("bytes=8388608-") else None

        faulty.fault = from_the_third_piece
        async with app.client.get(app.url + path, headers=PLAIN) as response:
            assert response.status == 200
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
                await response.read()
        faulty.fault = passed_on
        wanted = PLAIN | {"Range": "bytes=8388608-", "If-Range": response.headers["ETag"]}
        async with app.client.get(app.url + path, headers=wanted) as response:
            assert (response.status, await response.read()) == (206, bytes(12 * MB))


async def test_a_body_that_was_replaced_by_a_shorter_one_or_is_gone_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with running_app(tmp_path) as app:
        path = await uploaded(app, b"0123456789")
        (name,) = Bodies.names(tmp_path)
        Bodies.write(tmp_path, name, b"012345")
        status, error = await app.call("GET", path)
        assert (status, "damaged: 6 bytes, not 10" in error["error"]["message"]) == (503, True)
        assert Bodies.server is not None
        Bodies.server.remove(name)
        status, error = await app.call("GET", path)
        assert (status, f"{name}: No such file or directory" in error["error"]["message"]) == (503, True)


async def test_a_head_costs_one_look_and_reads_nothing(faulty: FaultyStore, tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        path = await uploaded(app, b"0123456789")
        faulty.calls.clear()
        async with app.client.head(app.url + path) as response:
            assert (response.status, response.content_length) == (200, 10)
        assert [call.partition(" ")[0] for call in faulty.calls] == ["HEAD"]


async def test_who_reads_slowly_makes_the_gateway_read_no_faster(faulty: FaultyStore, tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        path = await uploaded(app, bytes(80 * MB))
        faulty.calls.clear()
        async with app.client.get(app.url + path, headers=PLAIN) as response:
            await response.content.readexactly(MB)
            seen = -1
            while seen < len(faulty.calls):  # it comes to rest
                seen = len(faulty.calls)
                await asyncio.sleep(0.3)
            assert seen * bucket.READ_SIZE < 40 * MB
            assert len(await response.read()) == 79 * MB
