"""A gateway that receives SIGTERM: what it still does, what it refuses, and when its process ends."""

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.running_app import BATCHES, create_body
from tests.support.storage_leaks import find_storage_leaks

SLOW = 2.0  # seconds that a call to the slow model takes


def settings(shutdown_timeout: float, *, latency: float = SLOW) -> str:
    return f"""
    shutdown_timeout = {shutdown_timeout}
    [accounts.simulator]
    provider = "simulator"
    concurrency = 2
    simulator.latency = {latency}
    """


def call(gateway: GatewayProcess, path: str, body: object = None) -> tuple[int, Any, dict[str, str]]:
    """Call the gateway: with POST if there is a body, otherwise with GET."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def submit(gateway: GatewayProcess, *custom_ids: str) -> str:
    status, batch, _ = call(gateway, BATCHES, create_body(*custom_ids))
    assert status == 200, batch
    return str(batch["id"])


def read_health(gateway: GatewayProcess) -> dict[str, Any]:
    health = call(gateway, "/health")[1]
    assert isinstance(health, dict)
    return health


def wait_for_calls(gateway: GatewayProcess, calls: int = 2) -> None:
    while read_health(gateway)["requests_in_flight"] < calls:
        pass


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[GatewayProcess]:
    """Run a gateway that received SIGTERM while two of the four calls of a batch were in flight."""
    with GatewayProcess(data_dir=tmp_path / "data", settings=settings(30.0)) as gateway:
        submit(gateway, *"abcd")
        wait_for_calls(gateway)
        gateway.signal(signal.SIGTERM)
        while read_health(gateway)["status"] == "ok":
            pass
        yield gateway
        assert gateway.wait() == 0


def test_a_stopping_gateway_reports_that_it_is_stopping(stopping: GatewayProcess) -> None:
    assert read_health(stopping)["status"] == "degraded"
    assert [problem["code"] for problem in read_health(stopping)["problems"]] == ["stopping"]


def test_a_stopping_gateway_refuses_new_batches_as_overloaded_and_still_lists_batches(
    stopping: GatewayProcess,
) -> None:
    status, error, headers = call(stopping, BATCHES, create_body("late"))
    assert (status, error["error"]["type"]) == (529, "overloaded_error")
    assert int(headers["Retry-After"]) > 0
    status, page, _ = call(stopping, BATCHES)
    assert (status, len(page["data"])) == (200, 1)


def test_a_stopping_gateway_waits_for_calls_in_flight_and_sends_the_other_requests_after_the_next_start(
    tmp_path: Path,
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=settings(30.0)) as gateway:
        batch_id = submit(gateway, *"abcd")
        wait_for_calls(gateway)
        began = time.monotonic()
        assert gateway.terminate() == 0
        assert time.monotonic() - began < 2 * SLOW
    with GatewayProcess(data_dir=tmp_path, settings=settings(0.0, latency=30.0)) as gateway:
        progress = call(gateway, f"/api/batches/{batch_id}/progress")[1]
        assert (progress["succeeded"], progress["repeated"]) == (2, 0)
        wait_for_calls(gateway)
    with GatewayProcess(data_dir=tmp_path, settings=settings(0.0, latency=0.0)) as gateway:
        while (progress := call(gateway, f"/api/batches/{batch_id}/progress")[1])["status"] != "ended":
            pass
        # The second run had sent the other two requests, and its shutdown timeout was 0.
        assert (progress["succeeded"], progress["repeated"]) == (4, 2)


def test_a_stopping_gateway_abandons_calls_that_exceed_the_shutdown_timeout(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=settings(0.3, latency=60.0)) as gateway:
        submit(gateway, "a")
        wait_for_calls(gateway, 1)
        began = time.monotonic()
        assert gateway.terminate() == 0
        assert 0.3 <= time.monotonic() - began < 10


def test_a_second_signal_stops_the_gateway_at_once_and_keeps_the_results_that_arrived(tmp_path: Path) -> None:
    body = create_body("quick", model="quick")
    body["requests"] += create_body("slow")["requests"]
    table = "simulator.latency_by_model = { quick = 0 }"
    with GatewayProcess(data_dir=tmp_path, settings=settings(60.0, latency=60.0) + table) as gateway:
        batch_id = call(gateway, BATCHES, body)[1]["id"]
        wait_for_calls(gateway, 1)
        gateway.signal(signal.SIGTERM)
        while read_health(gateway)["status"] == "ok":
            pass
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert time.monotonic() - began < 10
    with GatewayProcess(data_dir=tmp_path, settings=settings(0.0, latency=60.0)) as gateway:
        assert call(gateway, f"/api/batches/{batch_id}/progress")[1]["succeeded"] == 1


def test_a_create_that_is_in_progress_completes_during_shutdown_and_its_batch_runs_after_the_next_start(
    tmp_path: Path,
) -> None:
    body = json.dumps(create_body("a")).encode()
    head = (
        f"POST {BATCHES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with GatewayProcess(data_dir=tmp_path, settings=settings(30.0)) as gateway:
        submit(gateway, "keeps-the-gateway-running-until-the-body-has-arrived")
        wait_for_calls(gateway, 1)
        host, port = gateway.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head.encode() + body[:20])
            while "1 orphan blobs" not in find_storage_leaks(tmp_path):
                pass
            gateway.signal(signal.SIGTERM)
            while read_health(gateway)["status"] == "ok":
                pass
            connection.sendall(body[20:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert gateway.wait() == 0
    batch_id = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
    with GatewayProcess(data_dir=tmp_path, settings=settings(0.0, latency=0.0)) as gateway:
        while call(gateway, f"{BATCHES}/{batch_id}")[1]["processing_status"] != "ended":
            pass
