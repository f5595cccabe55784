"""Damage to stored files: the scrub and downloads find it, /health has it, and it ends with a restore or a deletion."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest

from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.databases import Database, new_database
from tests.support.openai_batches import chat_line, jsonl
from tests.support.running_app import BATCHES, MovableClock, RunningApp, running_app
from tests.support.scrape import scrape
from tests.support.uploads import OPENAI, file_part, part, upload

pytestmark = ON_FOLDER_AND_BUCKET

DAY = 24 * 3600
STEP = 15.0
"""Seconds by which the clock is moved at a time: less than any interval of the scrub."""
PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip"}
IDS = [f"request-{number}" for number in range(600)]
SECRET = "a line of the caller"

Damage: TypeAlias = Callable[[RunningApp, str], None]


def flip_one_bit(app: RunningApp, name: str) -> None:
    content = bytearray(BlobStorage.read(app.data_dir, name))
    content[len(content) // 2] ^= 1
    BlobStorage.write(app.data_dir, name, bytes(content))


def truncate(app: RunningApp, name: str) -> None:
    BlobStorage.write(app.data_dir, name, BlobStorage.read(app.data_dir, name)[:-9])


def remove(app: RunningApp, name: str) -> None:
    BlobStorage.remove(app.data_dir, name)


DAMAGES = [flip_one_bit, truncate, remove]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Make a database of either kind: PostgreSQL beside a bucket, as the two are independent of each other."""
    with new_database("postgres" if BlobStorage.server else "sqlite", tmp_path / "data") as database:
        yield database


@asynccontextmanager
async def gateway_on(database: Database, **settings: Any) -> AsyncIterator[RunningApp]:
    async with running_app(database.path.parent, database_url=database.url, **settings) as app:
        yield app


async def stored(app: RunningApp, kind: str) -> tuple[str, str, str]:
    """Store something; return its id, the name of its blob and the path of its download."""
    if kind == "results":
        batch_id = str((await app.ended((await app.create(*IDS))["id"]))["id"])
        (name,) = (name for name in BlobStorage.names(app.data_dir) if f"{batch_id}/results_" in name)
        return batch_id, name, f"{BATCHES}/{batch_id}/results"
    content = jsonl(*(chat_line(custom_id, SECRET) for custom_id in IDS))
    file_id = str((await upload(app, part("purpose", "batch"), file_part(content)))["id"])
    return file_id, f"files/{file_id}/content", f"{OPENAI}/{file_id}/content"


async def stored_file_problems(app: RunningApp) -> list[dict[str, Any]]:
    health = (await app.call("GET", "/health"))[1]
    return [problem for problem in health["problems"] if problem["component"] == "stored_files"]


async def pass_time(app: RunningApp, seconds: float) -> None:
    """Move the clock in steps, between which the gateway has some rounds of its event loop."""
    for _ in range(int(seconds / STEP)):
        app.clock.move(STEP)
        for _ in range(20):
            await asyncio.sleep(0.001)


async def wait_for_damage(app: RunningApp, *, within: float = 3600.0) -> tuple[dict[str, Any], float]:
    """Move the clock until a stored file is a problem; return the problem and the seconds that passed."""
    passed = 0.0
    while not (problems := await stored_file_problems(app)):
        assert passed < within
        await pass_time(app, STEP)
        passed += STEP
    return problems[0], passed


async def wait_until_whole(app: RunningApp) -> None:
    while await stored_file_problems(app):
        await pass_time(app, STEP)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["results", "file"])
async def test_the_scrub_finds_a_damaged_file_and_a_restore_ends_the_problem(
    database: Database, kind: str, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_on(database) as app:
        await stored(app, "results")
        await stored(app, "file")
        owner, name, _ = await stored(app, kind)
        content = BlobStorage.read(app.data_dir, name)
        damage(app, name)
        left = BlobStorage.names(app.data_dir)
        problem, _ = await wait_for_damage(app)
        what = "the results of batch" if kind == "results" else "file"
        assert problem["message"].startswith(f"{what} {owner} of workspace default cannot be read: {name}: ")
        assert (problem["code"], SECRET in problem["message"]) == ("damaged_blob", False)
        assert problem["since"].startswith("2026-11-")
        assert (await scrape(app)).value("batchgate_damaged_files") == 1
        assert BlobStorage.names(app.data_dir) == left
        BlobStorage.write(app.data_dir, name, content)
        await wait_until_whole(app)
        assert (await scrape(app)).value("batchgate_damaged_files") == 0
        assert (await app.call("GET", "/health"))[1]["status"] == "ok"
    (line,) = (record for record in caplog.records if getattr(record, "action", None) == "blob_damaged")
    fields = vars(line)
    assert (fields["batch" if kind == "results" else "file"], fields["workspace"], fields["blob"]) == (
        owner,
        "default",
        name,
    )


@pytest.mark.parametrize("kind", ["results", "file"])
async def test_the_problem_of_a_damaged_file_ends_with_its_deletion(database: Database, kind: str) -> None:
    async with gateway_on(database) as app:
        owner, name, _ = await stored(app, kind)
        remove(app, name)
        await wait_for_damage(app)
        path = f"{BATCHES}/{owner}" if kind == "results" else f"{OPENAI}/{owner}"
        assert (await app.call("DELETE", path))[0] == 200
        await wait_until_whole(app)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["results", "file"])
async def test_a_download_that_finds_damage_makes_it_a_problem_at_once(
    database: Database, kind: str, damage: Damage
) -> None:
    async with gateway_on(database, scrub_bytes_per_second=0) as app:
        owner, name, path = await stored(app, kind)
        content = BlobStorage.read(app.data_dir, name)
        damage(app, name)
        if damage is flip_one_bit:
            with pytest.raises(aiohttp.ClientPayloadError):
                async with app.client.get(app.url + path, headers=GZIP) as response:
                    await response.read()
        else:
            async with app.client.get(app.url + path, headers=PLAIN) as response:
                assert response.status in {503, 529}
        (problem,) = await stored_file_problems(app)
        assert (problem["code"], owner in problem["message"]) == ("damaged_blob", True)
        await pass_time(app, 900)  # it stays until it is over
        assert await stored_file_problems(app) == [problem]
        BlobStorage.write(app.data_dir, name, content)
        await wait_until_whole(app)


async def test_a_read_through_in_another_dialect_reports_damage_too(database: Database) -> None:
    async with gateway_on(database, scrub_bytes_per_second=0) as app:
        batch_id, name, _ = await stored(app, "results")
        content = BlobStorage.read(app.data_dir, name)
        BlobStorage.write(app.data_dir, name, content.replace(b'"simulated"', b'"simulatee"', 1))
        with pytest.raises(aiohttp.ClientPayloadError):
            async with app.client.get(f"{app.url}{OPENAI}/file-output-{batch_id}/content", headers=PLAIN) as response:
                await response.read()
        (problem,) = await stored_file_problems(app)
        assert batch_id in problem["message"]


async def test_a_file_that_is_deleted_while_it_is_read_is_no_problem(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_on(database) as app:
        owner, _, path = await stored(app, "file")
        assert (await app.call("DELETE", f"{OPENAI}/{owner}"))[0] == 200
        assert (await app.call("GET", path))[0] == 404
        await pass_time(app, 600)
        assert await stored_file_problems(app) == []
    assert not [record for record in caplog.records if getattr(record, "action", None) == "blob_damaged"]


async def test_the_scrub_reads_no_faster_than_its_rate(database: Database) -> None:
    async with gateway_on(database, scrub_bytes_per_second=500) as app:
        _, first, _ = await stored(app, "file")
        _, second, _ = await stored(app, "file")
        flip_one_bit(app, second)
        expected = sum(len(BlobStorage.read(app.data_dir, name)) for name in (first, second)) / 500
        _, passed = await wait_for_damage(app)
        assert expected <= passed <= 1.5 * expected + 10 * STEP


async def test_the_scrub_is_off_at_a_rate_of_0(database: Database) -> None:
    async with gateway_on(database, scrub_bytes_per_second=0) as app:
        _, name, _ = await stored(app, "file")
        flip_one_bit(app, name)
        await pass_time(app, 1800)
        assert await stored_file_problems(app) == []


async def test_a_restart_goes_on_with_the_round_and_still_knows_what_is_damaged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = MovableClock()

    def rounds() -> list[str]:
        ended = (record for record in caplog.records if getattr(record, "action", None) == "scrub_round_ended")
        return [record.getMessage() for record in ended]

    async with gateway_on(database, clock=clock) as app:
        _, damaged, _ = await stored(app, "file")
        _, later, _ = await stored(app, "file")
        flip_one_bit(app, damaged)
        before, _ = await wait_for_damage(app)
        while not rounds():
            await pass_time(app, STEP)
        await pass_time(app, 120)
    async with gateway_on(database, clock=clock) as app:
        flip_one_bit(app, later)
        problem, _ = await wait_for_damage(app, within=60)
        assert problem["message"] == before["message"]
        await pass_time(app, 900)
        assert [found["message"] for found in await stored_file_problems(app)] == [before["message"]]
        assert rounds() == ["the scrub has checked all 2 stored files"]
        clock.move(7 * DAY)  # then the next round begins
        while "and 1 more like it" not in (await stored_file_problems(app))[0]["message"]:
            await pass_time(app, STEP)


async def test_every_file_of_a_storage_that_is_away_is_missing_until_it_is_back(database: Database) -> None:
    async with gateway_on(database) as app:
        contents = {}
        for _ in range(3):
            _, name, _ = await stored(app, "file")
            contents[name] = BlobStorage.read(app.data_dir, name)
            remove(app, name)
        while (await scrape(app)).value("batchgate_damaged_files") < 3:
            await pass_time(app, STEP)
        assert "(and 2 more like it)" in (await stored_file_problems(app))[0]["message"]
        for name, content in contents.items():
            BlobStorage.write(app.data_dir, name, content)
        await wait_until_whole(app)


async def test_the_size_of_a_file_of_an_earlier_version_is_compared(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _, name, _ = await stored(app, "results")
        content = BlobStorage.read(app.data_dir, name)
        forget_hashes(app)
        flip_one_bit(app, name)
        await pass_time(app, 600)
        assert await stored_file_problems(app) == []
        BlobStorage.write(app.data_dir, name, content[:-1])
        app.clock.move(7 * DAY)
        problem, _ = await wait_for_damage(app)
        assert f"damaged: {len(content) - 1} bytes, not {len(content)}" in problem["message"]


def forget_hashes(app: RunningApp) -> None:
    with closing(sqlite3.connect(app.data_dir / "batchgate.db", isolation_level=None)) as database:
        database.execute("UPDATE batches SET results_sha256 = NULL")


async def test_of_several_processes_one_does_the_rounds(tmp_path: Path) -> None:
    with new_database("postgres", tmp_path) as database:
        clock = MovableClock()
        async with gateway_on(database, clock=clock) as one, gateway_on(database, clock=clock) as two:
            _, name, _ = await stored(one, "file")
            flip_one_bit(one, name)
            found = 0
            while not found:
                await pass_time(one, STEP)
                found = sum([len(await stored_file_problems(app)) for app in (one, two)])
            await pass_time(one, 600)
            assert sum([len(await stored_file_problems(app)) for app in (one, two)]) == 1
