"""An uploaded file that storage damaged: its batch waits for the right bytes, and no caller is blamed for them."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.integration.test_full_disk import wait_for_problem, wait_until_healthy
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.databases import Database, new_database
from tests.support.openai_batches import (
    BATCHES,
    chat_line,
    create_body,
    download_lines,
    jsonl,
    retrieve,
    upload_lines,
    wait_for_final_status,
)
from tests.support.running_app import RunningApp, running_app

pytestmark = [ON_FOLDER_AND_BUCKET, pytest.mark.usefixtures("short_retry_intervals")]

Damage: TypeAlias = Callable[[bytes], bytes]


def other_prompt(content: bytes) -> bytes:
    """Change one bit of a prompt; the line stays valid."""
    return content.replace(b"Hello", b"Iello", 1)


def invalid_line(content: bytes) -> bytes:
    """Change a line so that it would be a fault of the caller."""
    return content.replace(b'{"custom_id', b'{"custom_ie', 1)


def undecodable_start(content: bytes) -> bytes:
    """Begin the file with the byte order mark of another encoding."""
    return b"\xff\xfe" + content[2:]


def cut_off(content: bytes) -> bytes:
    """Lose the last line."""
    return content[: content.rindex(b"\n", 0, -1) + 1]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Make a database of either kind: PostgreSQL beside a bucket, as the two are independent of each other."""
    with new_database("postgres" if BlobStorage.server else "sqlite", tmp_path / "data") as database:
        yield database


@pytest.fixture
async def app(database: Database) -> AsyncIterator[RunningApp]:
    async with running_app(database.path.parent, database_url=database.url) as app:
        yield app


async def create_from(app: RunningApp, file_id: str) -> str:
    status, batch = await app.call("POST", BATCHES, json=create_body(file_id))
    assert status == 200, batch
    return str(batch["id"])


async def expect_to_wait(app: RunningApp, batch_id: str, name: str) -> None:
    """Check that a batch waits because of a blob, and that /health says so."""
    assert name in await wait_for_problem(app, "validation")
    problems = (await app.call("GET", "/health"))[1]["problems"]
    assert {"damaged_blob"} == {problem["code"] for problem in problems if problem["component"] == "validation"}
    assert (await retrieve(app, batch_id))["status"] == "validating"


@pytest.mark.parametrize("damage", [other_prompt, invalid_line, undecodable_start, cut_off])
async def test_a_batch_waits_for_the_file_that_was_uploaded(app: RunningApp, damage: Damage) -> None:
    file_id = await upload_lines(app, jsonl(*(chat_line(f"r{number}") for number in range(20))))
    name = f"files/{file_id}/content"
    content = BlobStorage.read(app.data_dir, name)
    damaged = damage(content)
    assert damaged != content
    BlobStorage.write(app.data_dir, name, damaged)
    batch_id = await create_from(app, file_id)
    await expect_to_wait(app, batch_id, name)
    assert not [found for found in BlobStorage.names(app.data_dir) if f"batches/{batch_id}/input" in found]
    BlobStorage.write(app.data_dir, name, content)
    batch = await wait_for_final_status(app, batch_id)
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 20)
    assert len(await download_lines(app, batch["output_file_id"])) == 20
    await wait_until_healthy(app)


async def test_a_batch_waits_for_a_missing_file(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a")))
    name = f"files/{file_id}/content"
    content = BlobStorage.read(app.data_dir, name)
    BlobStorage.remove(app.data_dir, name)
    batch_id = await create_from(app, file_id)
    await expect_to_wait(app, batch_id, name)
    BlobStorage.write(app.data_dir, name, content)
    assert (await wait_for_final_status(app, batch_id))["status"] == "completed"
    await wait_until_healthy(app)


async def test_damage_after_more_requests_than_a_batch_may_have_is_found(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgate.providers.dialects.input_file.MAX_REQUESTS", 100)
    file_id = await upload_lines(app, jsonl(*(chat_line(f"r{number}", "x" * 4096) for number in range(2000))))
    name = f"files/{file_id}/content"
    content = BlobStorage.read(app.data_dir, name)
    BlobStorage.write(app.data_dir, name, content[:-9] + b"y" + content[-8:])
    batch_id = await create_from(app, file_id)
    await expect_to_wait(app, batch_id, name)
    BlobStorage.write(app.data_dir, name, content)
    batch = await wait_for_final_status(app, batch_id)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "too_many_tasks")


async def test_a_batch_whose_file_stays_damaged_expires(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a")))
    name = f"files/{file_id}/content"
    BlobStorage.write(app.data_dir, name, other_prompt(BlobStorage.read(app.data_dir, name)))
    batch_id = await create_from(app, file_id)
    await expect_to_wait(app, batch_id, name)
    app.clock.move(24 * 3600)
    batch = await wait_for_final_status(app, batch_id)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "batch_expired")
