"""The installed gateway on a bucket: SDKs, kills during uploads and finalization, and an unavailable object store."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anthropic import Anthropic
from openai import APIConnectionError, OpenAI

from tests.acceptance.test_bad_disk import (
    SLOW,
    call,
    check_start_fails,
    start_that_fails,
    submit_two_requests,
    wait_until_ended,
)
from tests.acceptance.test_crashes import (
    anthropic_client,
    check_results,
    find_or_submit,
    make_gateway,
    redelivered_requests,
    submit_once,
)
from tests.support.blob_storage import BlobStorage
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.health import problem_texts
from tests.support.object_server import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    ObjectServer,
    closed_port,
    object_server,
    running_s3_server,
    s3_client,
)
from tests.support.running_app import BATCHES, create_body
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import check_no_storage_leaks

MB = 1024 * 1024


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server() as server:
        monkeypatch.setattr(BlobStorage, "server", server)
        yield server


@pytest.fixture
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02", "--output-tokens", "500") as simulated:
        yield simulated


def test_the_sdks_work_on_a_bucket_and_the_log_contains_no_credentials(server: ObjectServer, tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=server.settings + SIMULATOR) as gateway:
        with OpenAI(base_url=f"{gateway.url}/openai/v1", api_key="any") as openai:
            content = os.urandom(12 * MB)
            file = openai.files.create(file=("a.bin", content), purpose="user_data")
            assert openai.files.content(file.id).read() == content
            openai.files.delete(file.id)
        with Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any") as anthropic:
            message = {"max_tokens": 9, "model": "m", "messages": [{"role": "user", "content": "Hello"}]}
            requests = [{"custom_id": name, "params": message} for name in "abc"]
            batch = anthropic.messages.batches.create(requests=requests)  # type: ignore[arg-type]
            while anthropic.messages.batches.retrieve(batch.id).processing_status != "ended":
                pass
            assert [line.custom_id for line in anthropic.messages.batches.results(batch.id)] == ["a", "b", "c"]
            anthropic.messages.batches.delete(batch.id)
        check_no_storage_leaks(tmp_path)
        assert gateway.terminate() == 0
    assert ACCESS_KEY_ID not in gateway.log
    assert SECRET_ACCESS_KEY not in gateway.log


@pytest.mark.parametrize("step", ["intake_spooled", "rows_written", "finalizing_started", "result_file_written"])
def test_a_gateway_killed_at_a_step_finishes_the_batch_after_a_restart(
    server: ObjectServer, upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with (
        make_gateway(upstream, tmp_path, f"{step}=kill", more_settings=server.settings) as gateway,
        anthropic_client(gateway) as client,
    ):
        acknowledged = submit_once(client)
        assert gateway.wait() == -signal.SIGKILL
    with (
        make_gateway(upstream, tmp_path, more_settings=server.settings) as gateway,
        anthropic_client(gateway) as client,
    ):
        batch_id = find_or_submit(client, acknowledged)
        check_results(client, batch_id)
        assert redelivered_requests(client, batch_id) >= upstream.stats().calls - 600
        check_no_storage_leaks(tmp_path)


def test_a_kill_during_an_upload_leaves_no_blob_and_only_parts_that_the_lifecycle_rule_of_the_bucket_removes(
    server: ObjectServer, tmp_path: Path
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=server.settings + SIMULATOR) as gateway:
        pieces = iter([b"x" * MB] * 20)

        class Body:
            """An upload that kills the gateway once parts of it are in the bucket."""

            def read(self, _size: int = -1) -> bytes:
                piece = next(pieces, b"")
                if not piece:
                    while not server.unfinished_uploads():
                        time.sleep(0.01)
                    gateway.kill()
                return piece

        openai = OpenAI(base_url=f"{gateway.url}/openai/v1", api_key="any", max_retries=0)
        with openai, pytest.raises(APIConnectionError):
            openai.files.create(file=("a.bin", Body()), purpose="user_data")  # type: ignore[arg-type]
    (unfinished,) = server.unfinished_uploads()
    assert unfinished.startswith("files/")
    with GatewayProcess(data_dir=tmp_path, settings=server.settings + SIMULATOR):
        for upload in server.client.list_multipart_uploads(Bucket=server.bucket)["Uploads"]:
            server.client.abort_multipart_upload(Bucket=server.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        check_no_storage_leaks(tmp_path)


def test_the_gateway_waits_for_an_unavailable_object_store_reports_it_and_resends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    with ExitStack() as object_store:
        url = object_store.enter_context(running_s3_server(port))
        server = ObjectServer(url, s3_client(url))
        monkeypatch.setattr(BlobStorage, "server", server)
        server.client.create_bucket(Bucket=server.bucket)
        with GatewayProcess(data_dir=tmp_path, settings=server.settings + SLOW) as gateway:
            batch_id = submit_two_requests(gateway)
            object_store.close()
            while "finalization: " not in str(problem_texts(health := call(gateway, "/health")[1])):
                pass
            assert health["status"] == "degraded"
            assert "the store cannot be reached" in str(health["problems"])
            status, error = call(gateway, BATCHES, create_body("late"))
            assert (status, "the store cannot be reached" in error["error"]["message"]) == (529, True)
            object_store.enter_context(running_s3_server(port))
            progress = wait_until_ended(gateway, batch_id)
            assert (progress["succeeded"], progress["repeated"]) == (2, 0)
            while call(gateway, "/health")[1]["status"] != "ok":
                pass
            check_no_storage_leaks(tmp_path)
            assert SECRET_ACCESS_KEY not in gateway.log


def test_a_start_without_the_bucket_fails_with_one_line_that_names_the_bucket(
    server: ObjectServer, tmp_path: Path
) -> None:
    for url, endpoint, reason in (
        ("s3://nowhere/x", server.url, "there is no such bucket or container"),
        (server.blob_url, f"http://127.0.0.1:{closed_port()}", "the store cannot be reached"),
    ):
        options = "".join(f'{name} = "{value}"\n' for name, value in (server.options | {"endpoint": endpoint}).items())
        (tmp_path / "batchgate.toml").write_text(f'blob_url = "{url}"\n[storage_options]\n{options}')
        check_start_fails(start_that_fails(tmp_path / "data"), url, reason)
