"""Checksums of result files: computed while they are written, sent with them, verified when they are read through."""

import gzip
import hashlib
import sqlite3
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.support import openai_batches
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.openai_batches import chat_line
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator
from tests.support.uploads import OPENAI, file_part, part, upload

pytestmark = ON_FOLDER_AND_BUCKET

IDS = [f"request-{number}" for number in range(600)]
PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip"}
DIGEST = "Repr-Digest"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose account has a name that every surface accepts."""
    async with running_app(tmp_path / "data", accounts={"anthropic": simulator()}) as app:
        yield app


def digest(content: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"


async def read(app: RunningApp, path: str, headers: dict[str, str] = PLAIN) -> tuple[bytes, str | None]:
    """Download a path; return the bytes on the wire and the digest."""
    async with app.client.get(app.url + path, headers=headers, auto_decompress=False) as response:
        assert response.status in {200, 206}, await response.text()
        return await response.read(), response.headers.get(DIGEST)


async def ended_messages_batch(app: RunningApp) -> str:
    return str((await app.ended((await app.create(*IDS))["id"]))["id"])


def flip_one_bit(app: RunningApp, batch_id: str) -> None:
    """Change one character of the model's name in the first line, so that every line is still valid JSON."""
    name = next(name for name in BlobStorage.names(app.data_dir) if f"{batch_id}/results_" in name)
    content = BlobStorage.read(app.data_dir, name)
    damaged = content.replace(b'"simulated"', b'"simulatee"', 1)
    assert damaged != content
    BlobStorage.write(app.data_dir, name, damaged)


@pytest.mark.parametrize("path", [BATCHES + "/{id}/results", "/api/batches/{id}/results"])
async def test_results_come_with_the_digest_of_their_bytes(gateway: RunningApp, path: str) -> None:
    path = path.format(id=await ended_messages_batch(gateway))
    content, sent = await read(gateway, path)
    assert sent == digest(content)
    assert await read(gateway, path, PLAIN | {"Range": "bytes=5-9"}) == (content[5:10], sent)
    compressed, of_compressed = await read(gateway, path, GZIP)
    assert (gzip.decompress(compressed), of_compressed) == (content, None)


@pytest.mark.parametrize("contents", [("Hello", "Hello"), ("Hello", 5), (5, 5), (5, "Hello", 5, "Hello")])
async def test_the_output_and_error_files_have_the_digests_of_their_own_lines(
    gateway: RunningApp, contents: tuple[str | int, ...]
) -> None:
    lines = [chat_line(str(number), content) for number, content in enumerate(contents)]
    batch = await openai_batches.create(gateway, *lines)
    ended = await openai_batches.wait_for_final_status(gateway, batch["id"])
    files = {name: ended[name] for name in ("output_file_id", "error_file_id") if ended[name] is not None}
    assert set(files) == {"error_file_id" if content == 5 else "output_file_id" for content in contents}
    for file_id in files.values():
        content, sent = await read(gateway, f"{OPENAI}/{file_id}/content")
        assert sent == digest(content)


async def test_the_lines_of_canceled_requests_are_in_the_digest(tmp_path: Path) -> None:
    never_answers = simulator(rate_limit_rate=1.0, retry_after=60.0)
    async with running_app(tmp_path, accounts={"simulator": never_answers}) as app:
        batch = await app.create("a", "b")
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        await app.ended(batch["id"])
        content, sent = await read(app, f"{BATCHES}/{batch['id']}/results")
    assert content.count(b"canceled") == 2
    assert sent == digest(content)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (OPENAI + "/file-output-{id}/content", PLAIN),
        (BATCHES + "/{id}/results", GZIP),
        ("/v1/batches/{id}/results?provider=anthropic", {"Accept": "application/json"}),
    ],
    ids=["in another dialect", "compressed", "as one object"],
)
async def test_damaged_results_that_are_read_through_end_as_an_error(
    gateway: RunningApp, path: str, headers: dict[str, str]
) -> None:
    batch_id = await ended_messages_batch(gateway)
    whole, _ = await read(gateway, path.format(id=batch_id), headers)
    assert whole
    flip_one_bit(gateway, batch_id)
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(gateway, path.format(id=batch_id), headers)


async def test_a_damaged_part_with_a_known_length_is_not_sent_to_its_end(gateway: RunningApp) -> None:
    batch = await openai_batches.create(gateway, *[chat_line(i, 5 if i == IDS[-1] else "Hello") for i in IDS])
    ended = await openai_batches.wait_for_final_status(gateway, batch["id"])
    flip_one_bit(gateway, batch["id"])
    for name in ("output_file_id", "error_file_id"):
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(gateway, f"{OPENAI}/{ended[name]}/content")


async def test_a_caller_notices_a_damaged_file_by_its_digest(gateway: RunningApp) -> None:
    batch_id = await ended_messages_batch(gateway)
    flip_one_bit(gateway, batch_id)
    content, sent = await read(gateway, f"{BATCHES}/{batch_id}/results")
    assert sent != digest(content)


async def test_a_damaged_upload_is_not_sent_compressed_as_if_it_were_whole(gateway: RunningApp) -> None:
    file = await upload(gateway, part("purpose", "batch"), file_part(openai_batches.jsonl(*map(chat_line, IDS))))
    (name,) = (name for name in BlobStorage.names(gateway.data_dir) if file["id"] in name)
    content = BlobStorage.read(gateway.data_dir, name)
    BlobStorage.write(gateway.data_dir, name, content.replace(b"Hello", b"Hallo", 1))
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(gateway, f"{OPENAI}/{file['id']}/content", GZIP)


async def test_results_of_an_earlier_version_are_served_without_a_digest(gateway: RunningApp) -> None:
    batch_id = await ended_messages_batch(gateway)
    with closing(sqlite3.connect(gateway.data_dir / "batchgate.db", isolation_level=None)) as database:
        database.execute("UPDATE batches SET results_sha256 = NULL")
    for path in (f"{BATCHES}/{batch_id}/results", f"{OPENAI}/file-output-{batch_id}/content"):
        content, sent = await read(gateway, path)
        assert (content.count(b"\n"), sent) == (len(IDS), None)
