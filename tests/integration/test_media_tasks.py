"""Tasks and files of Replicate, Runway and ElevenLabs over the life of a batch: restart, cancel, expiry, deletion."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from batchgate.providers.simulator.media.tasks import MediaJournal
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.providers.transport.public_downloads import PublicDownloads
from batchgate.settings import ApiKeySettings
from tests.support.certificates import CertificateAuthority
from tests.support.databases import DATABASES, Database, new_database
from tests.support.http_server import serving
from tests.support.media_accounts import KEY, MediaGateway, line, media_accounts, media_gateway
from tests.support.openai_batches import BATCHES, create
from tests.support.running_app import running_app
from tests.support.secure_files import secure_server
from tests.support.storage_leaks import find_storage_leaks

VIDEO: Final = "/v1/text_to_video"
SPEAK: Final = "/v1/text-to-speech/{voice_id}"
DAY: Final = 24 * 3600


async def until(media: MediaGateway, condition: Callable[[MediaJournal], bool]) -> MediaJournal:
    """Wait until the journal of the simulator fulfils a condition."""
    while not condition(journal := await media.journal()):
        pass
    return journal


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


async def test_a_restarted_gateway_polls_on_and_pays_once(tmp_path: Path, database: Database) -> None:
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=KEY))) as url:
        given: dict[str, Any] = {"accounts": media_accounts(url), "database_url": database.url}
        async with running_app(tmp_path, **given) as app:
            media = MediaGateway(app, url)
            row = line("a", VIDEO, model="gen4_turbo", promptText="[never]")
            batch = await create(app, row, endpoint=VIDEO, provider="runway")
            await until(media, lambda journal: journal.tasks != [])
        async with running_app(tmp_path, **given) as app:
            media = MediaGateway(app, url)
            (task,) = (await until(media, lambda journal: journal.tasks[0].polls > 0)).tasks
            assert task.status == "running"
            await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
            (task,) = (await until(media, lambda journal: journal.tasks[0].has_ended)).tasks
    assert task.status == "canceled"


@pytest.mark.parametrize("provider", ["replicate", "runway"])
async def test_a_canceled_batch_cancels_its_tasks_at_the_provider(tmp_path: Path, provider: str) -> None:
    endpoint = VIDEO if provider == "runway" else "/v1/predictions"
    body = {"model": "m", "version": "v", "input": {}, "promptText": "[never]"}
    async with media_gateway(tmp_path) as media:
        batch = await create(media.app, line("a", endpoint, **body), endpoint=endpoint, provider=provider)
        await until(media, lambda journal: journal.tasks != [])
        await media.app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        found = await media.results(batch["id"])
        journal = await until(media, lambda journal: journal.tasks[0].has_ended)
    assert found["a"]["error"]["code"] == "batch_cancelled"
    assert [task.status for task in journal.tasks] == ["canceled"]


async def test_all_tasks_of_a_canceled_batch_are_canceled_by_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each task that runs on is paid for: the last one must not wait for several looks.
    monkeypatch.setattr("batchgate.engine.lifecycle.task_cleanup.INTERVAL", 3600.0)
    async with media_gateway(tmp_path) as media, asyncio.timeout(30):
        rows = [line(f"{number}", VIDEO, model="m", promptText="[never]") for number in range(40)]
        batch = await create(media.app, *rows, endpoint=VIDEO, provider="runway")
        await until(media, lambda journal: len(journal.tasks) == len(rows))
        await media.app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        await media.results(batch["id"])
        journal = await until(media, lambda journal: all(task.has_ended for task in journal.tasks))
    assert {task.status for task in journal.tasks} == {"canceled"}


async def test_an_expired_batch_cancels_its_tasks_at_the_provider(tmp_path: Path) -> None:
    async with media_gateway(tmp_path) as media:
        row = line("a", VIDEO, model="m", promptText="[never]")
        batch = await create(media.app, row, endpoint=VIDEO, provider="runway")
        await until(media, lambda journal: journal.tasks != [])
        media.app.clock.move(DAY)
        found = await media.results(batch["id"])
        journal = await until(media, lambda journal: journal.tasks[0].has_ended)
    assert found["a"]["error"]["code"] == "batch_expired"
    assert [task.status for task in journal.tasks] == ["canceled"]


async def test_a_running_task_keeps_its_place_among_the_calls_of_its_account(tmp_path: Path) -> None:
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=KEY))) as url:
        accounts = media_accounts(url)
        accounts["runway"] = type(accounts["runway"])(
            provider="runway", base_url=f"{url}/runway", api_key=KEY, concurrency=1
        )
        async with running_app(tmp_path, accounts=accounts) as app:
            media = MediaGateway(app, url)
            await media.configure(polls=1)
            rows = [line(name, VIDEO, model="m", promptText=name) for name in "ab"]
            batch = await create(app, *rows, endpoint=VIDEO, provider="runway")
            journal = await until(media, lambda journal: len(journal.tasks) == 2)
            assert journal.tasks[0].status == "succeeded"
            assert len(await media.results(batch["id"])) == 2


async def test_a_task_that_runs_when_its_batch_is_moved_to_the_lane_native_ends_with_its_result(tmp_path: Path) -> None:
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=KEY))) as url:
        runway = structs.replace(media_accounts(url)["runway"], concurrency=1)
        async with running_app(tmp_path, accounts={"runway": runway}) as app:
            media = MediaGateway(app, url)
            await media.configure(polls=1)
            rows = [line(name, VIDEO, model="m", promptText=name) for name in "ab"]
            batch = await create(app, *rows, endpoint=VIDEO, provider="runway")
            await until(media, lambda journal: journal.tasks != [])
            status, answer = await app.call("PUT", f"/api/batches/{batch['id']}/lane", json={"lane": "native"})
            assert status == 200, answer
            found = await media.results(batch["id"])
            assert found["a"]["response"]["status_code"] == 200
            assert "has no batch API" in found["b"]["response"]["body"]["error"]["message"]
            assert [task.status for task in (await media.journal()).tasks] == ["succeeded"]


@pytest.mark.parametrize("ending", ["deleted", "archived"])
async def test_files_of_requests_go_with_the_results_of_their_batch(
    tmp_path: Path, database: Database, ending: str
) -> None:
    async with media_gateway(tmp_path, database_url=database.url) as media:
        row = line("a", "/v1/text-to-speech/v", text="Hello")
        batch = await create(media.app, row, endpoint=SPEAK, provider="elevenlabs")
        file_id = (await media.results(batch["id"]))["a"]["response"]["body"]["file_id"]
        status, _ = await media.app.call("GET", f"/openai/v1/files/{file_id}")
        assert status == 200
        if ending == "deleted":
            await media.app.call("DELETE", f"/anthropic/v1/messages/batches/{batch['id']}")
        else:
            media.app.clock.move(30 * DAY)
        folder = tmp_path / "blobs" / "files" / file_id
        while (await media.app.call("GET", f"/openai/v1/files/{file_id}"))[0] == 200 or folder.exists():
            pass


async def test_a_file_of_a_request_belongs_to_the_workspace_of_its_batch(tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("owner", "other")}
    async with media_gateway(tmp_path, api_keys=keys) as media:
        media.app.client.headers["x-api-key"] = "sk-owner"
        row = line("a", "/v1/music", prompt="rain")
        found = await media.run(row, endpoint="/v1/music", provider="elevenlabs")
        path = f"/openai/v1/files/{found['a']['response']['body']['file_id']}"
        for more in ("", "/content"):
            status, _ = await media.app.call("GET", path + more, headers={"x-api-key": "sk-other"})
            assert status == 404
        async with media.app.client.get(f"{media.app.url}{path}/content") as response:
            assert (response.status, len(await response.read())) == (200, 4096)


async def test_an_answer_over_the_limit_ends_its_request_and_leaves_no_file(tmp_path: Path) -> None:
    async with media_gateway(tmp_path, max_output_file_bytes=100_000) as media:
        await media.configure(audio_bytes=300_000)
        found = await media.run(line("a", "/v1/music", prompt="x"), endpoint="/v1/music", provider="elevenlabs")
        _, files = await media.app.call("GET", "/openai/v1/files?purpose=batch_output")
        leaks = [leak for leak in find_storage_leaks(tmp_path) if leak.startswith("file")]
    assert found["a"]["error"]["message"] == "the answer has more than 100000 bytes (max_output_file_bytes)"
    assert len(files["data"]) == 1  # the error file of the batch
    assert leaks == []


LOSE_FIRST_OUTPUT: Final = """
CREATE TABLE lost (name TEXT);
CREATE TRIGGER lose AFTER INSERT ON loose_blobs
WHEN NEW.name LIKE 'files/%' AND EXISTS (SELECT 1 FROM batches) AND NOT EXISTS (SELECT 1 FROM lost)
BEGIN
    INSERT INTO lost VALUES (NEW.name);
    DELETE FROM loose_blobs WHERE name = NEW.name;
END
"""
"""Takes the registration of the first file that a request makes, as the sweep of another process does."""


async def test_a_request_whose_file_another_process_has_removed_is_sent_again(tmp_path: Path) -> None:
    # Its result was tried again and again, and its batch neither ended nor could be canceled.
    async with media_gateway(tmp_path) as media, asyncio.timeout(30):
        with closing(sqlite3.connect(tmp_path / "batchgate.db", isolation_level=None)) as connection:
            connection.executescript(LOSE_FIRST_OUTPUT)
        found = await media.run(line("a", "/v1/music", prompt="rain"), endpoint="/v1/music", provider="elevenlabs")
        with closing(sqlite3.connect(tmp_path / "batchgate.db")) as connection:
            assert len(connection.execute("SELECT * FROM lost").fetchall()) == 1
        path = f"/openai/v1/files/{found['a']['response']['body']['file_id']}/content"
        async with media.app.client.get(f"{media.app.url}{path}") as response:
            assert len(await response.read()) == 4096


async def test_what_a_task_made_is_kept_as_a_file_if_the_account_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    monkeypatch.setattr("batchgate.app.PublicDownloads", partial(PublicDownloads, is_allowed=lambda _: True))
    row, data_dir = line("a", VIDEO, model="m", promptText="x"), tmp_path / "data"
    async with secure_server(authority.server_context()) as base, media_gateway(data_dir, keep_outputs=True) as media:
        await media.configure(polls=1, output_base=base)
        found = await media.run(row, endpoint=VIDEO, provider="runway")
        (kept,) = found["a"]["response"]["body"]["kept_outputs"]
        assert kept["url"].startswith(base)
        assert (kept["content_type"], kept["bytes"]) == ("video/mp4", 200_000)
        async with media.app.client.get(f"{media.app.url}/openai/v1/files/{kept['file_id']}/content") as response:
            assert await response.read() == b"v" * 200_000


async def test_an_output_that_must_not_be_fetched_has_an_error_beside_the_task(tmp_path: Path) -> None:
    async with media_gateway(tmp_path, keep_outputs=True) as media:
        await media.configure(polls=1, output_base="https://127.0.0.1:1")
        found = await media.run(line("a", VIDEO, model="m", promptText="x"), endpoint=VIDEO, provider="runway")
        leaks = [leak for leak in find_storage_leaks(tmp_path) if leak.startswith("file")]
    body = found["a"]["response"]["body"]
    (kept,) = body["kept_outputs"]
    assert kept == {"url": body["output"][0], "error": "it is not an https URL of a public address"}
    assert leaks == []
