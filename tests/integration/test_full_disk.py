"""A disk that is full while a batch is created, run or finalized, and that later has space again."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.full_disk import FILE_TOO_LARGE, full_disk, wal_size
from tests.support.health import problem_texts
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.storage_leaks import check_no_storage_leaks, find_storage_leaks

pytestmark = pytest.mark.usefixtures("short_retry_intervals")

MANY_IDS = [f"{number:064}" for number in range(5_000)]
SPACE_LEFT = 300_000
"""Bytes: enough for a few rows, and much too little for the bodies of 5,000 requests."""


async def wait_for_problem(app: RunningApp, component: str) -> str:
    """Wait until a component is unhealthy, and return its problem from /health."""
    while True:
        health = (await app.call("GET", "/health"))[1]
        for problem in problem_texts(health):
            if problem.startswith(f"{component}: "):
                assert health["status"] == "degraded"
                return problem


async def wait_until_solved(app: RunningApp, component: str) -> None:
    """Wait until a component is healthy; an account that announces a wait is none."""
    while any(text.startswith(f"{component}: ") for text in problem_texts((await app.call("GET", "/health"))[1])):
        pass


async def wait_until_healthy(app: RunningApp) -> None:
    while (await app.call("GET", "/health"))[1]["status"] != "ok":
        pass


async def expect_storage_error(app: RunningApp, method: str, path: str, **options: Any) -> str:
    """Make a call that must fail because of the storage, and return the error message."""
    async with app.client.request(method, app.url + path, **options) as response:
        error = msgspec.json.decode(await response.read())
        assert (response.status, error["error"]["type"]) == (529, "overloaded_error")
        assert int(response.headers["Retry-After"]) > 0
    message = str(error["error"]["message"])
    assert message.startswith("The gateway's storage is unavailable")
    assert str(app.data_dir) not in message
    return message


async def test_a_create_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing_stored(gateway: RunningApp) -> None:
    ended = await gateway.ended((await gateway.create("before"))["id"])
    with full_disk(wal_size(gateway.data_dir) + SPACE_LEFT):
        assert FILE_TOO_LARGE in await expect_storage_error(gateway, "POST", BATCHES, json=create_body(*MANY_IDS))
        assert find_storage_leaks(gateway.data_dir) == []
        assert FILE_TOO_LARGE in await wait_for_problem(gateway, "storage")
        assert [batch["id"] for batch in (await gateway.call("GET", BATCHES))[1]["data"]] == [ended["id"]]
        assert len(await gateway.results(ended["id"])) == 1
    await wait_until_healthy(gateway)
    assert (await gateway.call("POST", BATCHES, json=create_body(*MANY_IDS)))[0] == 200


async def test_a_database_on_a_full_disk_refuses_writes_and_still_serves_reads(tmp_path: Path) -> None:
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts) as app:
        waiting = await app.create("waiting")
        path = f"{BATCHES}/{waiting['id']}"
        with full_disk(wal_size(tmp_path)):
            for call in (("POST", BATCHES), ("POST", f"{path}/cancel")):
                assert "could not be written" in await expect_storage_error(app, *call, json=create_body("late"))
            assert "could not be written" in await wait_for_problem(app, "storage")
            assert (await app.call("GET", path))[1] == waiting
        await wait_until_solved(app, "storage")
        assert (await app.call("POST", f"{path}/cancel"))[1]["processing_status"] == "canceling"
        assert (await app.ended(waiting["id"]))["request_counts"]["canceled"] == 1
        await asyncio.to_thread(check_no_storage_leaks, tmp_path)


async def test_results_wait_for_disk_space_and_their_requests_are_sent_once(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 1.0})}
    async with running_app(tmp_path, accounts=accounts) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 2:
            pass
        with full_disk(wal_size(tmp_path)):
            assert "could not be written" in await wait_for_problem(app, "results")
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] == 0
        await wait_until_healthy(app)


async def test_a_result_file_waits_for_disk_space_and_delays_no_smaller_one(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts, default_provider="simulator") as app:
        _, large = await app.call("POST", BATCHES, json=create_body(*MANY_IDS, model="busy/m"))
        with full_disk(wal_size(tmp_path) + SPACE_LEFT):
            await app.call("POST", f"{BATCHES}/{large['id']}/cancel")
            assert FILE_TOO_LARGE in await wait_for_problem(app, "finalization")
            await app.ended((await app.create("small"))["id"])
            # The success of the other batch does not end the problem of this one.
            assert FILE_TOO_LARGE in await wait_for_problem(app, "finalization")
        assert (await app.ended(large["id"]))["request_counts"]["canceled"] == len(MANY_IDS)
        assert [line["custom_id"] for line in await app.results(large["id"])] == MANY_IDS
        await wait_until_healthy(app)
        await asyncio.to_thread(check_no_storage_leaks, tmp_path)


async def test_a_gateway_with_a_full_disk_can_be_stopped_and_loses_nothing(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    with ExitStack() as disk:
        async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.3) as app:
            _, batch = await app.call("POST", BATCHES, json=create_body(*MANY_IDS[:100], model="slow"))
            while (await app.call("GET", "/health"))[1]["requests_in_flight"] == 0:
                pass
            disk.enter_context(full_disk(wal_size(tmp_path)))
            await wait_for_problem(app, "results")
    async with running_app(tmp_path) as app:
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 100
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] > 0
