"""A disk that is full while a batch is taken in, flushed or finalized, and has room again."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.full_disk import REFUSED, full_disk, log_size
from tests.support.health import problem_texts
from tests.support.leftover_rows import check_nothing_is_left, leftovers
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

pytestmark = pytest.mark.usefixtures("impatient")

MANY = [f"{number:064}" for number in range(5_000)]
SOME_ROOM = 300_000
"""Bytes, enough for some rows and much too little for the bodies of so many requests."""


async def problem(app: RunningApp, part: str) -> str:
    """Wait until a part is not well, and read what /health says of it."""
    while True:
        health = (await app.call("GET", "/health"))[1]
        for found in problem_texts(health):
            if found.startswith(f"{part}: "):
                assert health["status"] == "degraded"
                return found


async def well_again(app: RunningApp) -> None:
    while (await app.call("GET", "/health"))[1]["status"] != "ok":
        pass


async def refused(app: RunningApp, method: str, path: str, **options: Any) -> str:
    """Make a request that storage fails, and read what the caller is told."""
    async with app.client.request(method, app.url + path, **options) as response:
        error = msgspec.json.decode(await response.read())
        assert (response.status, error["error"]["type"]) == (529, "overloaded_error")
        assert int(response.headers["Retry-After"]) > 0
    message = str(error["error"]["message"])
    assert message.startswith("The gateway's storage is not well")
    assert str(app.data_dir) not in message
    return message


async def test_a_create_whose_body_finds_no_room_is_refused_and_leaves_nothing(gateway: RunningApp) -> None:
    ended = await gateway.ended((await gateway.create("before"))["id"])
    with full_disk(log_size(gateway.data_dir) + SOME_ROOM):
        assert REFUSED in await refused(gateway, "POST", BATCHES, json=create_body(*MANY))
        assert leftovers(gateway.data_dir) == []
        assert REFUSED in await problem(gateway, "storage")
        assert [batch["id"] for batch in (await gateway.call("GET", BATCHES))[1]["data"]] == [ended["id"]]
        assert len(await gateway.results(ended["id"])) == 1
    await well_again(gateway)
    assert (await gateway.call("POST", BATCHES, json=create_body(*MANY)))[0] == 200


async def test_a_database_without_room_refuses_what_would_be_written_and_goes_on_being_read(tmp_path: Path) -> None:
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts) as app:
        waiting = await app.create("waiting")
        path = f"{BATCHES}/{waiting['id']}"
        with full_disk(log_size(tmp_path)):
            for asked in (("POST", BATCHES), ("POST", f"{path}/cancel")):
                assert "could not be written" in await refused(app, *asked, json=create_body("late"))
            assert "could not be written" in await problem(app, "storage")
            assert (await app.call("GET", path))[1] == waiting
        await well_again(app)
        assert (await app.call("POST", f"{path}/cancel"))[1]["processing_status"] == "canceling"
        assert (await app.ended(waiting["id"]))["request_counts"]["canceled"] == 1
        await asyncio.to_thread(check_nothing_is_left, tmp_path)


async def test_results_wait_for_room_and_are_asked_for_once(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 1.0})}
    async with running_app(tmp_path, accounts=accounts) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] < 2:
            pass
        with full_disk(log_size(tmp_path)):
            assert "could not be written" in await problem(app, "results")
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] == 0
        await well_again(app)


async def test_a_result_file_waits_for_room_and_holds_up_no_smaller_one(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(), "busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts, default_provider="simulator") as app:
        _, large = await app.call("POST", BATCHES, json=create_body(*MANY, model="busy/m"))
        with full_disk(log_size(tmp_path) + SOME_ROOM):
            await app.call("POST", f"{BATCHES}/{large['id']}/cancel")
            assert REFUSED in await problem(app, "finalization")
            await app.ended((await app.create("small"))["id"])
            # The other's success is no end of this one's trouble.
            assert REFUSED in await problem(app, "finalization")
        assert (await app.ended(large["id"]))["request_counts"]["canceled"] == len(MANY)
        assert [line["custom_id"] for line in await app.results(large["id"])] == MANY
        await well_again(app)
        await asyncio.to_thread(check_nothing_is_left, tmp_path)


async def test_a_gateway_whose_disk_is_full_can_be_stopped_and_has_lost_nothing(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    with ExitStack() as disk:
        async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.3) as app:
            _, batch = await app.call("POST", BATCHES, json=create_body(*MANY[:100], model="slow"))
            while (await app.call("GET", "/health"))[1]["requests_in_flight"] == 0:
                pass
            disk.enter_context(full_disk(log_size(tmp_path)))
            await problem(app, "results")
    async with running_app(tmp_path) as app:
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 100
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["repeated"] > 0
